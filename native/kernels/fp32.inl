// The fp32 kernels, written once with vector extensions. A file for an instruction set defines
// LANES, TILE_ROWS and KERNELS, and includes this.
//
// A row's result never depends on the other rows or on its place among them: every loop over
// floats runs whole vectors over padded memory, and every row tile runs in full, so one
// sequence of instructions computes each row. There is no scalar tail that could round
// differently.
//
// Everything sits in an unnamed namespace and calls nothing outside it (see kernels.h).

#include "kernels.h"

namespace crossrank {
namespace {

using std::size_t;

constexpr int lanes = LANES;
constexpr int tile_rows = TILE_ROWS;
constexpr int panel = 2 * lanes;
static_assert(column_padding % panel == 0);

typedef float vec __attribute__((vector_size(lanes * 4)));
typedef int32_t ivec __attribute__((vector_size(lanes * 4)));
typedef vec loose_vec __attribute__((aligned(4), may_alias));

inline vec load(const float* p) { return *reinterpret_cast<const loose_vec*>(p); }
inline void store(float* p, vec v) { *reinterpret_cast<loose_vec*>(p) = v; }
inline vec splat(float v) { return v - vec{}; }  // v - 0 keeps -0, v + 0 would not
inline ivec bits(vec v) { return (ivec)v; }  // a cast between vectors keeps the bits
inline vec from_bits(ivec v) { return (vec)v; }
inline vec larger(vec a, vec b) { return a < b ? b : a; }
inline vec smaller(vec a, vec b) { return b < a ? b : a; }
inline size_t round_up(size_t n, size_t to) { return (n + to - 1) / to * to; }

// All ones where the lane's column, counted from `first`, is below n.
inline ivec columns_below(int first, int n) {
    ivec column = {};
    for (int i = 0; i < lanes; ++i) column[i] = i;
    return column + first < n;
}

// Halving, so that the order of the operations is fixed.
template <class Op>
inline float reduce(vec v, Op op) {
    for (int width = lanes / 2; width > 0; width /= 2)
        for (int i = 0; i < width; ++i) v[i] = op(v[i], v[i + width]);
    return v[0];
}

inline float sum(vec v) {
    return reduce(v, [](float a, float b) { return a + b; });
}

inline float maximum(vec v) {
    return reduce(v, [](float a, float b) { return a < b ? b : a; });
}

#include "functions.inl"
#include "convert.inl"

// y = x W^T for one tile of rows and one panel of columns. The accumulators stay in registers
// for the whole depth, so each sum is one chain of multiply-adds in the order of k.
inline void multiply_tile(const float* x, size_t ldx, const float* w, int depth, float* y,
                          size_t ldy) {
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

// The rest of a dense layer, on a tile that is still in the first-level cache.
template <class Function>
inline void finish_tile(float* y, size_t ldy, const float* bias, const float* residual, size_t ldr,
                        Function f) {
    for (int r = 0; r < tile_rows; ++r)
        for (int c = 0; c < panel; c += lanes) {
            vec v = f(load(y + r * ldy + c) + load(bias + c));
            if (residual) v += load(residual + r * ldr + c);
            store(y + r * ldy + c, v);
        }
}

template <class Function>
inline void multiply(Rows x, int rows, Panels w, Rows residual, Rows y, Function f) {
    for (int column = 0; column < w.out; column += panel) {
        const float* weights = w.weights + size_t(column) * w.in;
        for (int row = 0; row < rows; row += tile_rows) {
            float* out = y.data + row * y.stride + column;
            const float* add = residual.data ? residual.data + row * residual.stride + column
                                             : nullptr;
            multiply_tile(x.data + row * x.stride, x.stride, weights, w.in, out, y.stride);
            finish_tile(out, y.stride, w.bias + column, add, residual.stride, f);
        }
    }
}

void linear(Rows x, int rows, Panels w, Activation activation, Rows residual, Rows y) {
    switch (activation) {
        case Activation::none:
            return multiply(x, rows, w, residual, y, [](vec v) { return v; });
        case Activation::gelu:
            return multiply(x, rows, w, residual, y, [](vec v) { return gelu(v); });
        case Activation::gelu_tanh:
            return multiply(x, rows, w, residual, y, [](vec v) { return gelu_tanh(v); });
        case Activation::relu:
            return multiply(x, rows, w, residual, y, [](vec v) { return larger(v, vec{}); });
        case Activation::tanh:
            return multiply(x, rows, w, residual, y, [](vec v) { return tanh(v); });
    }
}

// exp(scale (s - max s)) over one row, zero past n. Returns the sum of the row.
inline float exponentials(float* s, int n, float scale) {
    const vec lowest = splat(-__builtin_inff());
    vec high = lowest;
    for (int c = 0; c < n; c += lanes)
        high = larger(high, columns_below(c, n) ? load(s + c) : lowest);
    const vec shift = splat(maximum(high));
    vec total = {};
    for (int c = 0; c < n; c += lanes) {
        const vec e = exp((load(s + c) - shift) * scale);
        const vec kept = columns_below(c, n) ? e : vec{};
        total += kept;
        store(s + c, kept);
    }
    return sum(total);
}

size_t attention_scratch(int length, int head_dim) {
    const size_t keys = round_up(length, panel), columns = round_up(head_dim, panel);
    return keys * head_dim + columns * length + tile_rows * (keys + columns);
}

// Computed one tile of queries at a time: its scores never leave the cache, and its result goes
// through a scratch tile, because a full vector could reach into the next head's columns and a
// full tile into the next sequence's rows.
void attention(const Attention& a) {
    const int n = a.length, dim = a.head_dim;
    const size_t keys = round_up(n, panel), columns = round_up(dim, panel);
    float* k_panels = a.scratch;
    float* v_panels = k_panels + keys * dim;
    float* scores = v_panels + columns * n;
    float* result = scores + tile_rows * keys;
    pack_rows(a.k, a.stride, n, dim, k_panels);
    pack_columns(a.v, a.stride, n, dim, v_panels);

    const float scale = 1.0f / __builtin_sqrtf(float(dim));
    for (int row = 0; row < a.queries; row += tile_rows) {
        for (size_t c = 0; c < keys; c += panel)
            multiply_tile(a.q + row * a.stride, a.stride, k_panels + c * dim, dim, scores + c,
                          keys);
        const int kept = a.queries - row < tile_rows ? a.queries - row : tile_rows;
        float inverse[tile_rows] = {};
        for (int r = 0; r < kept; ++r)
            inverse[r] = 1.0f / exponentials(scores + r * keys, n, scale);
        for (size_t c = 0; c < columns; c += panel)
            multiply_tile(scores, keys, v_panels + c * n, n, result + c, columns);
        for (int r = 0; r < kept; ++r) {
            float* mine = result + r * columns;
            for (size_t c = 0; c < columns; c += lanes)
                store(mine + c, load(mine + c) * inverse[r]);
            __builtin_memcpy(a.out + (row + r) * a.out_stride, mine, dim * sizeof(float));
        }
    }
}

// Two passes, because the one-pass variance E[x^2] - E[x]^2 cancels.
void layer_norm(Rows x, int rows, int n, const float* weight, const float* bias, float eps,
                Rows y) {
    for (int r = 0; r < rows; ++r) {
        const float* in = x.data + r * x.stride;
        float* out = y.data + r * y.stride;
        vec total = {};
        for (int c = 0; c < n; c += lanes) total += columns_below(c, n) ? load(in + c) : vec{};
        const vec mean = splat(sum(total) / float(n));
        vec squares = {};
        for (int c = 0; c < n; c += lanes) {
            const vec d = columns_below(c, n) ? load(in + c) - mean : vec{};
            squares += d * d;
        }
        const float variance = sum(squares) / float(n);
        // An overflow must not end as 1 / inf = 0 and a row of plausible numbers: inf - inf is NaN.
        const vec inverse = splat(1.0f / __builtin_sqrtf(variance + eps) + (variance - variance));
        for (int c = 0; c < n; c += lanes)
            store(out + c, (load(in + c) - mean) * inverse * load(weight + c) + load(bias + c));
    }
}

}  // namespace

extern const Kernels KERNELS = {KERNELS_NAME, panel,  tile_rows,         pack,      add_row,
                                linear,       attention_scratch, attention, layer_norm};

}  // namespace crossrank
