// The fp32 kernels, written once with vector extensions. A file for an instruction set defines
// LANES, TILE_ROWS, KERNELS and KERNELS_ISA, and includes this.
//
// A row's result never depends on the other rows or on its place among them: every loop over
// floats runs whole vectors over padded memory, and every row tile runs in full, so one
// sequence of instructions computes each row. There is no scalar tail that could round
// differently.
//
// Everything sits in an unnamed namespace and calls nothing outside it (see kernels.h).

#ifdef __x86_64__
#include <immintrin.h>
#endif

#include "kernels.h"

namespace crossrank {
namespace {

#include "vectors.inl"

constexpr int tile_rows = TILE_ROWS;
constexpr int panel = 2 * lanes;
static_assert(column_padding % panel == 0);

using Value = float;

#include "convert.inl"
#include "attention.inl"
#include "norm.inl"

inline vec value_gelu(vec x) { return gelu(x); }

#include "values.inl"

// finish(where, x W^T + b) for each vector of the result, while its tile is in the nearest cache.
template <class Finish>
inline void multiply(Values x, int rows, Packed w, float* y, size_t ldy, Finish finish) {
    const float* in = static_cast<const float*>(x.data);
    float tile[tile_rows * panel];
    for (int column = 0; column < w.out; column += panel) {
        const float* weights = static_cast<const float*>(w.weights) + size_t(column) * w.in;
        for (int row = 0; row < rows; row += tile_rows) {
            multiply_tile(in + row * x.stride, x.stride, weights, w.in, tile, panel);
            for (int r = 0; r < tile_rows; ++r)
                for (int c = 0; c < panel; c += lanes)
                    finish(y + (row + r) * ldy + column + c,
                           load(tile + r * panel + c) + load(w.bias + column + c));
        }
    }
}

void pack(const void* weights, DType dtype, int out, int in, void* blocks, float*) {
    float* panels = static_cast<float*>(blocks);
    switch (dtype) {
        case DType::f32:
            return pack_rows(static_cast<const float*>(weights), in, out, in, panels);
        case DType::f16:
            return pack_rows(static_cast<const Half*>(weights), in, out, in, panels);
        case DType::bf16:
            return pack_rows(static_cast<const Bfloat*>(weights), in, out, in, panels);
    }
}

size_t block_bytes(int in) { return column_padding * in * sizeof(float); }

size_t dense_scratch(int, int) { return 0; }

void dense(Values x, int rows, Packed w, Activation activation, Values y, void*) {
    const auto with = [&](auto f) {
        multiply(x, rows, w, static_cast<float*>(y.data), y.stride,
                 [&](float* at, vec v) { store(at, f(v)); });
    };
    switch (activation) {
        case Activation::none: return with([](vec v) { return v; });
        case Activation::gelu: return with([](vec v) { return gelu(v); });
        case Activation::gelu_tanh: return with([](vec v) { return gelu_tanh(v); });
        case Activation::relu: return with([](vec v) { return larger(v, vec{}); });
        case Activation::tanh: return with([](vec v) { return tanh(v); });
    }
}

void dense_add(Values x, int rows, Packed w, Rows y, void*) {
    multiply(x, rows, w, y.data, y.stride, [](float* at, vec v) { store(at, v + load(at)); });
}

void nothing() {}

}  // namespace

extern const Kernels KERNELS = {
    KERNELS_ISA, "fp32", sizeof(float), tile_rows, block_bytes, pack, add_row, to_values, nothing,
    nothing, dense_scratch, dense, dense_add, attention_scratch, attention, layer_norm,
    rotate, gate};

}  // namespace crossrank
