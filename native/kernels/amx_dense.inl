// Dense layers on tiles, included by amx.cpp.
//
// A block of 32 columns is multiplied with 32 rows at a time: two tiles of rows, two of weights,
// four of sums. The tile unit works on its own, so that the sums of one block are finished by the
// vector units while the tile unit is at the next.

// 64 bytes of a row are one step of either product.
struct Bf16 {
    using Weight = uint16_t;
    using Sum = float;
    static constexpr int depth = 32;  // columns of x in a step
    static constexpr bool quantised = false;
#define CROSSRANK_DOT(c, a, b) _tile_dpbf16ps(c, a, b)
    static void dot00() { CROSSRANK_DOT(0, 4, 6); }
    static void dot01() { CROSSRANK_DOT(1, 4, 7); }
    static void dot10() { CROSSRANK_DOT(2, 5, 6); }
    static void dot11() { CROSSRANK_DOT(3, 5, 7); }
#undef CROSSRANK_DOT
};

struct Int8 {
    using Weight = int8_t;
    using Sum = int32_t;
    static constexpr int depth = 64;
    static constexpr bool quantised = true;
#define CROSSRANK_DOT(c, a, b) _tile_dpbssd(c, a, b)
    static void dot00() { CROSSRANK_DOT(0, 4, 6); }
    static void dot01() { CROSSRANK_DOT(1, 4, 7); }
    static void dot10() { CROSSRANK_DOT(2, 5, 6); }
    static void dot11() { CROSSRANK_DOT(3, 5, 7); }
#undef CROSSRANK_DOT
};

constexpr float int8_most = 127.0f, int8_steps = 254.0f;

template <class Kind>
inline int steps_of(int in) {
    return (in + Kind::depth - 1) / Kind::depth;
}

// A block: the weights of 32 columns, step by step, two tiles a step; then, in int8, for each column
// its scale and the sum of its weights.
template <class Kind>
size_t block_bytes(int in) {
    return steps_of<Kind>(in) * 2 * tile_bytes + (Kind::quantised ? 2 * panel * sizeof(float) : 0);
}

inline uint16_t to_bfloat(float v) {
    uint32_t bits;
    __builtin_memcpy(&bits, &v, sizeof bits);
    if ((bits & 0x7fffffff) > 0x7f800000) return uint16_t(bits >> 16 | 0x40);  // a NaN stays one
    return uint16_t((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

template <class Kind, class T>
void pack_weights(const T* weights, int out, int in, char* blocks) {
    constexpr int group = 4 / sizeof(typename Kind::Weight);  // of a column, side by side in a tile
    const int steps = steps_of<Kind>(in);
    for (int first = 0; first < out; first += panel, blocks += block_bytes<Kind>(in)) {
        const int columns = out - first < panel ? out - first : panel;
        auto* tiles = reinterpret_cast<typename Kind::Weight*>(blocks);
        auto* scales = reinterpret_cast<float*>(blocks + steps * 2 * tile_bytes);
        __builtin_memset(blocks, 0, block_bytes<Kind>(in));
        for (int c = 0; c < columns; ++c) {
            const T* row = weights + size_t(first + c) * in;
            float most = 0;
            int sum = 0;
            if constexpr (Kind::quantised) {
                for (int k = 0; k < in; ++k) {
                    const float size = __builtin_fabsf(to_float(row[k]));
                    most = size > most || size != size ? size : most;  // a NaN spreads
                }
                scales[c] = most / int8_most;
            }
            for (int k = 0; k < in; ++k) {
                const int step = k / Kind::depth, within = k % Kind::depth;
                const size_t at = (size_t(step) * 2 + c / lanes) * tile_bytes / sizeof(*tiles) +
                                  (within / group * lanes + c % lanes) * group + within % group;
                const float w = to_float(row[k]);
                if constexpr (Kind::quantised) {
                    tiles[at] = most > 0 ? int8_t(__builtin_rintf(w * (int8_most / most))) : int8_t(0);
                    sum += tiles[at];
                } else {
                    tiles[at] = to_bfloat(w);
                }
            }
            if constexpr (Kind::quantised) scales[panel + c] = float(sum) * scales[c];
        }
    }
}

template <class Kind>
void pack(const void* weights, DType dtype, int out, int in, void* blocks) {
    char* to = static_cast<char*>(blocks);
    switch (dtype) {
        case DType::f32:
            return pack_weights<Kind>(static_cast<const float*>(weights), out, in, to);
        case DType::f16:
            return pack_weights<Kind>(static_cast<const Half*>(weights), out, in, to);
        case DType::bf16:
            return pack_weights<Kind>(static_cast<const Bfloat*>(weights), out, in, to);
    }
}

// Rows as the tiles read them. In int8 each row has a scale and a centre of its own.
struct Operand {
    const char* data;
    size_t stride;  // bytes
    const float* scales;
    const float* centres;
};

inline size_t int8_stride(int in) { return round_up(in, 64) + 64; }

template <class Kind>
size_t dense_scratch(int rows, int in) {
    if (!Kind::quantised) return 0;
    return round_up(rows + tile_rows, lanes) * (int8_stride(in) + 2 * sizeof(float));
}

inline Operand operand_of(Bf16, Values x, int, int, void*) {
    return {static_cast<const char*>(x.data), x.stride * sizeof(Value), nullptr, nullptr};
}

inline float float_of_high_bits(uint32_t bits) {
    bits <<= 16;
    float v;
    __builtin_memcpy(&v, &bits, sizeof v);
    return v;
}

// From the lowest number of the row (or 0) to its highest (or 0): the middle of that range is taken
// out, so that a row that leans to one side, as after a GELU, has all steps of an int8.
inline Operand operand_of(Int8, Values x, int rows, int in, void* scratch) {
    const size_t stride = int8_stride(in), padded = round_up(in, 64);
    const size_t count = round_up(rows + tile_rows, lanes);
    float* scales = static_cast<float*>(scratch);
    float* centres = scales + count;
    char* to = reinterpret_cast<char*>(centres + count);
    for (int r = 0; r < rows; ++r) {
        const Value* row = static_cast<const Value*>(x.data) + r * x.stride;
        // By their bits: as signed integers those of the highest number are the largest, as unsigned
        // ones those of the lowest below 0; a NaN is beyond both.
        __m512i high = _mm512_setzero_si512(), low = high;
        for (int c = 0; c < in; c += 2 * lanes) {
            const int kept = in - c < 2 * lanes ? in - c : 2 * lanes;
            const __mmask32 mask = __mmask32((uint64_t(1) << kept) - 1);
            const __m512i v = _mm512_maskz_loadu_epi16(mask, row + c);
            high = _mm512_max_epi16(high, v);
            low = _mm512_max_epu16(low, v);
        }
        const __m512i low_pairs = _mm512_max_epu32(_mm512_srli_epi32(low, 16),
                                                   _mm512_and_si512(low, _mm512_set1_epi32(0xffff)));
        const __m512i high_pairs = _mm512_max_epu32(
            _mm512_srli_epi32(high, 16), _mm512_and_si512(high, _mm512_set1_epi32(0xffff)));
        const uint32_t lowest_bits = _mm512_reduce_max_epu32(low_pairs);
        const float lowest = lowest_bits >= 0x8000 ? float_of_high_bits(lowest_bits) : 0.0f;
        const float range = float_of_high_bits(_mm512_reduce_max_epu32(high_pairs)) - lowest;
        scales[r] = range / int8_steps;
        centres[r] = lowest + 0.5f * range;
        const vec factor = splat(range > 0 ? int8_steps / range : 0.0f), centre = splat(centres[r]);
        char* out = to + r * stride;
        for (size_t c = 0; c < padded; c += lanes) {
            const vec v = int(c) < in ? load(row + c) - centre : vec{};
            const __m512i q = _mm512_cvtps_epi32(half_of(v * factor));
            const int kept = in - int(c);
            const __mmask16 mask = kept >= lanes ? 0xffff : kept <= 0 ? 0 : (1u << kept) - 1;
            _mm_storeu_si128(reinterpret_cast<__m128i*>(out + c), _mm512_maskz_cvtsepi32_epi8(mask, q));
        }
    }
    return {to, stride, scales, centres};
}

// GELU through Phi(x) = 1/2 + x p(x^2) on [-4.5, 4.5]: a minimax polynomial. The error is below
// 1.5e-5 (1 + |x|), which is less than bf16 or int8 can hold.
inline vec gelu_short(vec x) {
    const vec near = smaller(larger(x, splat(-4.5f)), splat(4.5f));
    const vec s = near * near;
    vec p = splat(-1.40032215e-12f);
    p = p * s + 1.69757613e-10f;
    p = p * s + -9.19498941e-09f;
    p = p * s + 2.95921247e-07f;
    p = p * s + -6.36573835e-06f;
    p = p * s + 9.78759788e-05f;
    p = p * s + -0.00112270561f;
    p = p * s + 0.00983327734f;
    p = p * s + -0.0663372172f;
    p = p * s + 0.398883898f;
    return x * (near * p + 0.5f);
}

// What is left of a block once its sums are there: 32 rows of two vectors.
template <class Kind, class Finish>
struct Ending {
    const float* sums;
    const float* column_scales;
    const float* row_scales;
    const float* row_centres;
    const float* bias;
    int row, column;
    int count;  // of rows that were multiplied: a tile or two
    Finish finish;

    vec at(int r, int half) const {
        const float* sum = sums + r * panel + half * lanes;
        vec rest = load(bias + half * lanes);
        if constexpr (!Kind::quantised) return load(sum) + rest;
        const float* scales = column_scales + half * lanes;
        rest = load(scales + panel) * splat(row_centres[row + r]) + rest;
        const vec whole = (vec)_mm512_cvtepi32_ps(_mm512_loadu_si512(sum));
        return whole * (load(scales) * splat(row_scales[row + r])) + rest;
    }

    void rows(int from, int to) const {
        for (int r = from; r < to; ++r) finish(row + r, column, at(r, 0), at(r, 1));
    }
};

template <class Kind, class Finish>
inline void multiply(Operand x, int rows, Packed w, Finish finish) {
    alignas(64) float sums[2][tile_rows * panel];
    const int steps = steps_of<Kind>(w.in);
    const int share = (tile_rows + steps - 1) / steps;  // rows of the last block finished in a step
    Ending<Kind, Finish> ending{nullptr, nullptr, x.scales, x.centres, w.bias, 0, 0, 0, finish};
    int side = 0;
    __asm__ volatile("" ::: "memory");  // tile loads do not tell the compiler what they read
    for (int column = 0; column < w.out; column += panel) {
        const char* block = static_cast<const char*>(w.weights) +
                            size_t(column / panel) * block_bytes<Kind>(w.in);
        for (int row = 0; row < rows; row += tile_rows) {
            const char* x0 = x.data + row * x.stride;
            const char* x1 = x0 + lanes * x.stride;
            const bool both = rows - row > lanes;  // the second tile of rows holds any
            const char* tiles = block;
            int finished = 0;
            _tile_zero(0);
            _tile_zero(1);
            if (both) {
                _tile_zero(2);
                _tile_zero(3);
            }
            for (int k = 0; k < steps; ++k, x0 += 64, x1 += 64, tiles += 2 * tile_bytes) {
                _tile_loadd(4, x0, x.stride);
                _tile_loadd(6, tiles, 64);
                Kind::dot00();
                _tile_loadd(7, tiles + tile_bytes, 64);
                Kind::dot01();
                if (both) {
                    _tile_loadd(5, x1, x.stride);
                    Kind::dot10();
                    Kind::dot11();
                }
                const int until = finished + share < ending.count ? finished + share : ending.count;
                ending.rows(finished, until);
                finished = until;
            }
            float* out = sums[side];
            constexpr int stride = panel * sizeof(float);
            _tile_stored(0, out, stride);
            _tile_stored(1, out + lanes, stride);
            if (both) {
                _tile_stored(2, out + lanes * panel, stride);
                _tile_stored(3, out + lanes * panel + lanes, stride);
            }
            ending.sums = out;
            ending.column_scales = reinterpret_cast<const float*>(block + steps * 2 * tile_bytes);
            ending.bias = w.bias + column;
            ending.row = row;
            ending.column = column;
            ending.count = both ? tile_rows : lanes;
            side ^= 1;
        }
    }
    ending.rows(0, ending.count);
}

template <class Kind>
void dense(Values x, int rows, Packed w, Activation activation, Values y, void* scratch) {
    const Operand operand = operand_of(Kind(), x, rows, w.in, scratch);
    Value* const out = static_cast<Value*>(y.data);
    const auto with = [&](auto f) {
        multiply<Kind>(operand, rows, w, [&](int row, int column, vec v0, vec v1) {
            store(out + row * y.stride + column, f(v0), f(v1));
        });
    };
    switch (activation) {
        case Activation::none: return with([](vec v) { return v; });
        case Activation::gelu: return with([](vec v) { return gelu_short(v); });
        case Activation::gelu_tanh: return with([](vec v) { return gelu_tanh(v); });
        case Activation::relu: return with([](vec v) { return larger(v, vec{}); });
        case Activation::tanh: return with([](vec v) { return tanh(v); });
    }
}

template <class Kind>
void dense_add(Values x, int rows, Packed w, Rows y, void* scratch) {
    const Operand operand = operand_of(Kind(), x, rows, w.in, scratch);
    multiply<Kind>(operand, rows, w, [&](int row, int column, vec v0, vec v1) {
        float* at = y.data + row * y.stride + column;
        store(at, load(at) + v0);
        store(at + lanes, load(at + lanes) + v1);
    });
}
