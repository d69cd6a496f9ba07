// Attention in fp32, included by the kernels whose values are floats, and its product of a tile.

#include "window.inl"

// y = x W^T for one tile of rows and one panel of columns. The accumulators stay in registers
// for the whole depth, so each sum is one chain of multiply-adds in the order of k. Never inlined:
// the constants of an activation around it would take the registers.
__attribute__((noinline)) void multiply_tile(const float* x, size_t ldx, const float* w, int depth,
                                             float* y, size_t ldy) {
    vec acc[tile_rows][2] = {};
    // A pointer to each third row: the two after it are reached by indexed addressing, which
    // leaves enough general registers for twelve rows.
    const float* third[tile_rows / 3];
#pragma GCC unroll 4
    for (int i = 0; i < tile_rows / 3; ++i) third[i] = x + 3 * i * ldx;
    for (int k = 0; k < depth; ++k, w += panel) {
        const vec w0 = load(w), w1 = load(w + lanes);
#pragma GCC unroll 12
        for (int r = 0; r < tile_rows; ++r) {
            const vec xk = splat(third[r / 3][r % 3 * ldx + k]);
            acc[r][0] += xk * w0;
            acc[r][1] += xk * w1;
        }
    }
#pragma GCC unroll 12
    for (int r = 0; r < tile_rows; ++r) {
        store(y + r * ldy, acc[r][0]);
        store(y + r * ldy + lanes, acc[r][1]);
    }
}

// exp(scale (s - max s)) over one row, zero past n. Returns the sum of the row.
inline float exponentials(float* s, int n, float scale) {
    const vec lowest = splat(-__builtin_inff());
    vec high = lowest;
    const int whole = n / lanes * lanes;
    const ivec last = columns_below(whole, n);
    for (int c = 0; c < whole; c += lanes) high = larger(high, load(s + c));
    if (whole < n) high = larger(high, last ? load(s + whole) : lowest);
    const vec shift = splat(maximum(high));
    vec total = {};
    for (int c = 0; c < whole; c += lanes) {
        const vec e = exp((load(s + c) - shift) * scale);
        total += e;
        store(s + c, e);
    }
    if (whole < n) {
        const vec e = exp((load(s + whole) - shift) * scale);
        const vec kept = last ? e : vec{};
        total += kept;
        store(s + whole, kept);
    }
    return sum(total);
}

size_t attention_scratch(int length, int head_dim) {
    const size_t keys = round_up(length, panel), columns = round_up(head_dim, panel);
    return sizeof(float) * (keys * head_dim + columns * length + tile_rows * (keys + columns));
}

// Computed one tile of queries at a time: its scores never leave the cache, and its result goes
// through a scratch tile, because a full vector could reach into the next head's columns and a
// full tile into the next sequence's rows. Of keys it looks at those in the window of any of the
// tile's queries.
void attention(const Attention& a) {
    const int n = a.length, dim = a.head_dim;
    const size_t keys = round_up(n, panel), columns = round_up(dim, panel);
    const float* q = static_cast<const float*>(a.q);
    float* k_panels = static_cast<float*>(a.scratch);
    float* v_panels = k_panels + keys * dim;
    float* scores = v_panels + columns * n;
    float* result = scores + tile_rows * keys;
    pack_rows(static_cast<const float*>(a.k), a.stride, n, dim, k_panels);
    pack_columns(static_cast<const float*>(a.v), a.stride, n, dim, v_panels);

    const float scale = 1.0f / __builtin_sqrtf(float(dim));
    for (int row = 0; row < a.queries; row += tile_rows) {
        const int from = row > a.window ? (row - a.window) / panel * panel : 0;
        const int to = n - row - tile_rows > a.window ? row + tile_rows + a.window : n;
        for (int c = from; c < to; c += panel)
            multiply_tile(q + row * a.stride, a.stride, k_panels + c * dim, dim, scores + c,
                          keys);
        const int kept = a.queries - row < tile_rows ? a.queries - row : tile_rows;
        if (a.window < n) hide_outside(scores, keys, row, kept, from, to, a.window);
        float inverse[tile_rows] = {};
        for (int r = 0; r < kept; ++r)
            inverse[r] = 1.0f / exponentials(scores + r * keys + from, to - from, scale);
        for (size_t c = 0; c < columns; c += panel)
            multiply_tile(scores + from, keys, v_panels + c * n + from * panel, to - from,
                          result + c, columns);
        for (int r = 0; r < kept; ++r) {
            float* mine = result + r * columns;
            for (size_t c = 0; c < columns; c += lanes)
                store(mine + c, load(mine + c) * inverse[r]);
            float* out = static_cast<float*>(a.out) + (row + r) * a.out_stride;
            __builtin_memcpy(out, mine, dim * sizeof(float));
        }
    }
}
