// Attention on tiles, included by amx.cpp: 32 queries at a time against all keys of the sequence.
// Scores and probabilities of those stay in the cache; sums and the scale are fp32.

// 2^x, to 1e-4 of its value: half of what rounding to bf16 costs at most is 2e-3. A cubic of the part
// of x above its floor; the instruction that scales by 2^floor(x) ends at 0 and lets a NaN through.
inline vec exp2_short(vec x) {
    constexpr int above_floor = 0x09;
    const vec f = (vec)_mm512_reduce_ps(half_of(x), above_floor);
    vec p = splat(0.0780238483f);
    p = p * f + 0.226067396f;
    p = p * f + 0.695833834f;
    p = p * f + 0.999925145f;
    return (vec)_mm512_scalef_ps(half_of(p), half_of(x));
}

// The sixteen reductions of sixteen vectors, in order: a tree, the same for each.
template <class Op>
inline vec reduce_each(const vec v[16], Op op) {
    __m512 a[8], b[4], c[2];
    for (int i = 0; i < 8; ++i) {
        const __m512 x = half_of(v[i]), y = half_of(v[i + 8]);
        a[i] = half_of(op((vec)_mm512_shuffle_f32x4(x, y, 0x44), (vec)_mm512_shuffle_f32x4(x, y, 0xee)));
    }
    for (int i = 0; i < 4; ++i)
        b[i] = half_of(op((vec)_mm512_shuffle_f32x4(a[i], a[i + 4], 0x88),
                          (vec)_mm512_shuffle_f32x4(a[i], a[i + 4], 0xdd)));
    for (int i = 0; i < 2; ++i)
        c[i] = half_of(op((vec)_mm512_unpacklo_ps(b[i], b[i + 2]), (vec)_mm512_unpackhi_ps(b[i], b[i + 2])));
    const __m512 d = half_of(op((vec)_mm512_unpacklo_ps(c[0], c[1]), (vec)_mm512_unpackhi_ps(c[0], c[1])));
    return (vec)_mm512_shuffle_f32x4(d, d, 0xd8);
}

// Transposes 16 x 16 pairs of values in registers.
inline void transpose(__m512i r[16]) {
    __m512i t[16];
    for (int i = 0; i < 16; i += 2) {
        t[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
        t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
    }
    for (int i = 0; i < 16; i += 4)
        for (int j = 0; j < 2; ++j) {
            r[i + 2 * j] = _mm512_unpacklo_epi64(t[i + j], t[i + 2 + j]);
            r[i + 2 * j + 1] = _mm512_unpackhi_epi64(t[i + j], t[i + 2 + j]);
        }
    for (int i = 0; i < 16; i += 8)
        for (int j = 0; j < 4; ++j) {
            t[i + j] = _mm512_shuffle_i32x4(r[i + j], r[i + 4 + j], 0x88);
            t[i + 4 + j] = _mm512_shuffle_i32x4(r[i + j], r[i + 4 + j], 0xdd);
        }
    for (int j = 0; j < 8; ++j) {
        r[j] = _mm512_shuffle_i32x4(t[j], t[8 + j], 0x88);
        r[8 + j] = _mm512_shuffle_i32x4(t[j], t[8 + j], 0xdd);
    }
}

struct AttentionLayout {
    AttentionLayout(int length, int head_dim)
        : keys(int(round_up(length, 32))),
          parts(int(round_up(head_dim, 32)) / 32),
          score_stride(keys + 16),
          weight_stride(keys + 32) {}

    size_t packed() const { return size_t(keys) * parts * 64; }
    size_t bytes() const {
        return 2 * packed() + tile_rows * (score_stride * sizeof(float) + weight_stride * sizeof(Value));
    }

    int keys;   // whole steps of 32
    int parts;  // of the head's columns, 32 each
    size_t score_stride, weight_stride;
};

size_t attention_scratch(int length, int head_dim) { return AttentionLayout(length, head_dim).bytes(); }

inline __m512i load_columns(const Value* row, int columns) {
    if (columns >= 32) return _mm512_loadu_si512(row);
    return _mm512_maskz_loadu_epi16(__mmask32((uint64_t(1) << columns) - 1), row);
}

// Keys, transposed: a tile for 16 keys and 32 columns, [keys / 16][parts].
inline void pack_keys(const Attention& a, const AttentionLayout& layout, char* tiles) {
    for (int first = 0; first < layout.keys; first += lanes)
        for (int part = 0; part < layout.parts; ++part, tiles += tile_bytes) {
            __m512i rows[16];
            for (int r = 0; r < 16; ++r)
                rows[r] = first + r < a.length
                              ? load_columns(static_cast<const Value*>(a.k) + (first + r) * a.stride + 32 * part,
                                             a.head_dim - 32 * part)
                              : _mm512_setzero_si512();
            transpose(rows);
            for (int r = 0; r < 16; ++r) _mm512_storeu_si512(tiles + 64 * r, rows[r]);
        }
}

// Values, two rows interleaved: two tiles for 32 keys and 32 columns, [keys / 32][parts][2].
inline void pack_values(const Attention& a, const AttentionLayout& layout, char* tiles) {
    alignas(64) uint16_t order[32];
    for (int i = 0; i < 32; ++i) order[i] = uint16_t(i / 2 + i % 2 * 32);
    const __m512i low = _mm512_load_si512(order);
    const __m512i high = _mm512_add_epi16(low, _mm512_set1_epi16(16));
    for (int first = 0; first < layout.keys; first += 32)
        for (int part = 0; part < layout.parts; ++part, tiles += 2 * tile_bytes)
            for (int r = 0; r < 16; ++r) {
                const auto row = [&](int i) {
                    if (i >= a.length) return _mm512_setzero_si512();
                    return load_columns(static_cast<const Value*>(a.v) + i * a.stride + 32 * part,
                                        a.head_dim - 32 * part);
                };
                const __m512i x = row(first + 2 * r), y = row(first + 2 * r + 1);
                _mm512_storeu_si512(tiles + 64 * r, _mm512_permutex2var_epi16(x, low, y));
                _mm512_storeu_si512(tiles + tile_bytes + 64 * r, _mm512_permutex2var_epi16(x, high, y));
            }
}

// exp of sixteen rows of scores as bf16, zero past `length`; returns one over each row's sum.
inline vec softmax(const float* scores, size_t stride, int length, int keys, float scale, Value* out,
                   size_t out_stride) {
    const vec lowest = splat(-__builtin_inff());
    vec rows[16];
    const int whole = length / lanes * lanes;
    for (int r = 0; r < 16; ++r) {
        const float* s = scores + r * stride;
        vec high = lowest;
        for (int c = 0; c < whole; c += lanes) high = larger(high, load(s + c));
        if (whole < length) high = larger(high, columns_below(whole, length) ? load(s + whole) : lowest);
        rows[r] = high;
    }
    const vec shifts = reduce_each(rows, [](vec a, vec b) { return larger(a, b); }) * scale;
    for (int r = 0; r < 16; ++r) {
        const float* s = scores + r * stride;
        Value* to = out + r * out_stride;
        const vec shift = splat(shifts[r]), factor = splat(scale);
        vec total = {};
        int c = 0;
        for (; c + 2 * lanes <= length; c += 2 * lanes) {
            const vec e0 = exp2_short(load(s + c) * factor - shift);
            const vec e1 = exp2_short(load(s + c + lanes) * factor - shift);
            total += e0;
            total += e1;
            store(to + c, e0, e1);
        }
        if (c < keys) {
            const vec e0 = exp2_short(load(s + c) * factor - shift);
            const vec e1 = exp2_short(load(s + c + lanes) * factor - shift);
            const vec k0 = columns_below(c, length) ? e0 : vec{};
            const vec k1 = columns_below(c + lanes, length) ? e1 : vec{};
            total += k0;
            total += k1;
            store(to + c, k0, k1);
        }
        rows[r] = total;
    }
    return 1.0f / reduce_each(rows, [](vec a, vec b) { return a + b; });
}

void attention(const Attention& a) {
    const AttentionLayout layout(a.length, a.head_dim);
    char* const key_tiles = static_cast<char*>(a.scratch);
    char* const value_tiles = key_tiles + layout.packed();
    float* const scores = reinterpret_cast<float*>(value_tiles + layout.packed());
    Value* const weights = reinterpret_cast<Value*>(scores + tile_rows * layout.score_stride);
    alignas(64) float sums[tile_rows * panel];
    pack_keys(a, layout, key_tiles);
    pack_values(a, layout, value_tiles);

    const float scale = 1.44269504f / __builtin_sqrtf(float(a.head_dim));  // with log2(e)
    const size_t bytes = a.stride * sizeof(Value);
    const int score_bytes = int(layout.score_stride * sizeof(float));
    const int weight_bytes = int(layout.weight_stride * sizeof(Value));
    for (int row = 0; row < a.queries; row += tile_rows) {
        const char* q0 = static_cast<const char*>(a.q) + row * bytes;
        const char* q1 = q0 + lanes * bytes;
        const bool both = a.queries - row > lanes;
        __asm__ volatile("" ::: "memory");  // tile loads do not tell the compiler what they read
        for (int key = 0; key < layout.keys; key += 32) {
            _tile_zero(0);
            _tile_zero(1);
            _tile_zero(2);
            _tile_zero(3);
            for (int part = 0; part < layout.parts; ++part) {
                const char* tiles = key_tiles + (size_t(key / 16) * layout.parts + part) * tile_bytes;
                _tile_loadd(4, q0 + 64 * part, bytes);
                _tile_loadd(6, tiles, 64);
                _tile_dpbf16ps(0, 4, 6);
                _tile_loadd(7, tiles + layout.parts * tile_bytes, 64);
                _tile_dpbf16ps(1, 4, 7);
                if (both) {
                    _tile_loadd(5, q1 + 64 * part, bytes);
                    _tile_dpbf16ps(2, 5, 6);
                    _tile_dpbf16ps(3, 5, 7);
                }
            }
            float* to = scores + key;
            _tile_stored(0, to, score_bytes);
            _tile_stored(1, to + lanes, score_bytes);
            if (both) {
                _tile_stored(2, to + lanes * layout.score_stride, score_bytes);
                _tile_stored(3, to + lanes * layout.score_stride + lanes, score_bytes);
            }
        }
        const int kept = a.queries - row < tile_rows ? a.queries - row : tile_rows;
        if (a.window < a.length)
            hide_outside(scores, layout.score_stride, row, kept, 0, a.length, a.window);
        vec inverse[2];
        for (int half = 0; half < 1 + both; ++half)
            inverse[half] = softmax(scores + half * lanes * layout.score_stride, layout.score_stride,
                                    a.length, layout.keys, scale,
                                    weights + half * lanes * layout.weight_stride, layout.weight_stride);
        for (int part = 0; part < layout.parts; ++part) {
            __asm__ volatile("" ::: "memory");
            _tile_zero(0);
            _tile_zero(1);
            _tile_zero(2);
            _tile_zero(3);
            for (int key = 0; key < layout.keys; key += 32) {
                const char* tiles = value_tiles + (size_t(key / 32) * layout.parts + part) * 2 * tile_bytes;
                _tile_loadd(4, weights + key, weight_bytes);
                _tile_loadd(6, tiles, 64);
                _tile_dpbf16ps(0, 4, 6);
                _tile_loadd(7, tiles + tile_bytes, 64);
                _tile_dpbf16ps(1, 4, 7);
                if (both) {
                    _tile_loadd(5, weights + lanes * layout.weight_stride + key, weight_bytes);
                    _tile_dpbf16ps(2, 5, 6);
                    _tile_dpbf16ps(3, 5, 7);
                }
            }
            constexpr int stride = panel * sizeof(float);
            _tile_stored(0, sums, stride);
            _tile_stored(1, sums + lanes, stride);
            if (both) {
                _tile_stored(2, sums + lanes * panel, stride);
                _tile_stored(3, sums + lanes * panel + lanes, stride);
            }
            const int columns = a.head_dim - 32 * part < 32 ? a.head_dim - 32 * part : 32;
            const __mmask32 mask = __mmask32((uint64_t(1) << columns) - 1);
            for (int r = 0; r < kept; ++r) {
                const vec factor = splat(inverse[r / lanes][r % lanes]);
                Value* out = static_cast<Value*>(a.out) + (row + r) * a.out_stride + 32 * part;
                const __m512bh v = _mm512_cvtne2ps_pbh(half_of(load(sums + r * panel + lanes) * factor),
                                                       half_of(load(sums + r * panel) * factor));
                _mm512_mask_storeu_epi16(out, mask, (__m512i)v);
            }
        }
    }
}
