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

template <class Kind>
inline int steps_of(int in) {
    return (in + Kind::depth - 1) / Kind::depth;
}

// A block: the weights of 32 columns, step by step, two tiles a step; then, in int8, for each column
// its scale.
template <class Kind>
size_t block_bytes(int in) {
    return steps_of<Kind>(in) * 2 * tile_bytes + (Kind::quantised ? panel * sizeof(float) : 0);
}

inline uint16_t to_bfloat(float v) {
    uint32_t bits;
    __builtin_memcpy(&bits, &v, sizeof bits);
    if ((bits & 0x7fffffff) > 0x7f800000) return uint16_t(bits >> 16 | 0x40);  // a NaN stays one
    return uint16_t((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

// Where the weight of depth k and column c of a block is.
template <class Kind>
inline size_t place_of(int k, int c) {
    constexpr int group = 4 / sizeof(typename Kind::Weight);  // of a column, side by side in a tile
    constexpr size_t tile = tile_bytes / sizeof(typename Kind::Weight);
    const int step = k / Kind::depth, within = k % Kind::depth;
    return (size_t(step) * 2 + c / lanes) * tile + (within / group * lanes + c % lanes) * group +
           within % group;
}

template <class T>
inline void pack_column(Bf16, const T* weights, int in, int c, char* block, float*) {
    auto* const tiles = reinterpret_cast<Bf16::Weight*>(block);
    for (int k = 0; k < in; ++k) tiles[place_of<Bf16>(k, c)] = to_bfloat(to_float(weights[k]));
}

// The nearest integers to 64 numbers times `factor`.
inline void store_int8(int8_t* p, const float* numbers, vec factor) {
    const auto integers = [&](int i) {
        return _mm512_cvtps_epi32(half_of(load(numbers + i * lanes) * factor));
    };
    const __m512i packed = _mm512_packs_epi16(_mm512_packs_epi32(integers(0), integers(1)),
                                              _mm512_packs_epi32(integers(2), integers(3)));
    // Four numbers of each vector lie side by side.
    const __m512i order =
        _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    _mm512_storeu_si512(p, _mm512_permutexvar_epi32(order, packed));
}

template <class T>
inline void pack_column(Int8, const T* weights, int in, int c, char* block, float* mixed) {
    const float most = mix_weights(weights, in, mixed);
    const vec factor = splat(factor_to_int8(most));
    auto* const tiles = reinterpret_cast<Int8::Weight*>(block);
    for (int k = 0; k < depth_of(in); k += depth_step) {
        Int8::Weight integers[depth_step];
        store_int8(integers, mixed + k, factor);
        for (int i = 0; i < depth_step; ++i) tiles[place_of<Int8>(k + i, c)] = integers[i];
    }
    auto* const scales = reinterpret_cast<float*>(block + steps_of<Int8>(in) * 2 * tile_bytes);
    scales[c] = most / most_int8 / mixed_by(in);
}

template <class Kind, class T>
void pack_weights(const T* weights, int out, int in, char* blocks, float* row) {
    __builtin_memset(blocks, 0, round_up(out, panel) / panel * block_bytes<Kind>(in));
    for (int c = 0; c < out; ++c)
        pack_column(Kind(), weights + size_t(c) * in, in, c % panel,
                    blocks + c / panel * block_bytes<Kind>(in), row);
}

template <class Kind>
void pack(const void* weights, DType dtype, int out, int in, void* blocks, float* row) {
    char* to = static_cast<char*>(blocks);
    switch (dtype) {
        case DType::f32:
            return pack_weights<Kind>(static_cast<const float*>(weights), out, in, to, row);
        case DType::f16:
            return pack_weights<Kind>(static_cast<const Half*>(weights), out, in, to, row);
        case DType::bf16:
            return pack_weights<Kind>(static_cast<const Bfloat*>(weights), out, in, to, row);
    }
}

// Rows as the tiles read them. In int8 each row has a scale of its own.
struct Operand {
    const char* data;
    size_t stride;  // bytes
    const float* scales;
};

inline size_t int8_stride(int in) { return depth_of(in) + 64; }

// In int8: the scales, one row of floats, and the rows.
template <class Kind>
size_t dense_scratch(int rows, int in) {
    if (!Kind::quantised) return 0;
    return round_up(rows + tile_rows, lanes) * (int8_stride(in) + sizeof(float)) +
           depth_of(in) * sizeof(float);
}

inline Operand operand_of(Bf16, Values x, int, int, void*) {
    return {static_cast<const char*>(x.data), x.stride * sizeof(Value), nullptr};
}

inline Operand operand_of(Int8, Values x, int rows, int in, void* scratch) {
    const size_t stride = int8_stride(in);
    float* const scales = static_cast<float*>(scratch);
    float* const mixed = scales + round_up(rows + tile_rows, lanes);
    int8_t* const to = reinterpret_cast<int8_t*>(mixed + depth_of(in));
    for (int r = 0; r < rows; ++r) {
        const Value* row = static_cast<const Value*>(x.data) + r * x.stride;
        const float most = mix(in, [&](int c) { return load(row + c); }, mixed);
        scales[r] = most / most_int8;
        const vec factor = splat(factor_to_int8(most));
        for (int c = 0; c < depth_of(in); c += depth_step)
            store_int8(to + r * stride + c, mixed + c, factor);
    }
    return {reinterpret_cast<const char*>(to), stride, scales};
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
    const float* bias;
    int row, column;
    int count;  // of rows that were multiplied: a tile or two
    Finish finish;

    vec at(int r, int half) const {
        const float* sum = sums + r * panel + half * lanes;
        const vec start = load(bias + half * lanes);
        if constexpr (!Kind::quantised) return load(sum) + start;
        const vec scale = load(column_scales + half * lanes) * splat(row_scales[row + r]);
        return (vec)_mm512_cvtepi32_ps(_mm512_loadu_si512(sum)) * scale + start;
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
    Ending<Kind, Finish> ending{nullptr, nullptr, x.scales, w.bias, 0, 0, 0, finish};
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
