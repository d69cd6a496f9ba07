// The one interface between the encoder and the code written for an instruction set.
//
// The files that implement it are compiled with flags the running CPU may not support, so this
// header stays free of inline functions and std templates: the linker keeps one copy of each,
// and it might keep the one compiled for AVX-512.
#pragma once

#include <cstddef>
#include <cstdint>

namespace crossrank {

enum class DType { f32, f16, bf16 };

enum class Activation { none, gelu, gelu_tanh, relu, tanh };

// Rows are padded to a multiple of this many floats, so that every store is a full vector.
constexpr std::size_t column_padding = 32;

// Row-major activations. The memory holds whole tiles of rows, of columns up to column_padding;
// what lies past the last row or column is computed along and never looked at.
struct Rows {
    float* data;
    std::size_t stride;
};

// A dense layer: weights in panels [ceil(out / panel)][in][panel] and a bias, both zero-padded.
struct Panels {
    const float* weights;
    const float* bias;
    int in;
    int out;
};

// One head of one sequence; q, k and v are columns of the same rows.
struct Attention {
    const float* q;
    const float* k;
    const float* v;
    std::size_t stride;
    float* out;
    std::size_t out_stride;
    int length;
    int queries;  // only the first so many rows are asked for
    int head_dim;
    float* scratch;  // attention_scratch(length, head_dim) floats
};

struct Kernels {
    const char* name;
    int panel;      // columns of a weight panel
    int tile_rows;  // rows computed together: buffers hold a multiple of it

    // Converts [out, in] weights to float and packs them into panels.
    void (*pack)(const void* weights, DType dtype, int out, int in, float* panels);

    // dst += float(src).
    void (*add_row)(const void* src, DType dtype, int n, float* dst);

    // y = activation(x W^T + b) + residual, where residual.data may be null. y overlaps neither.
    void (*linear)(Rows x, int rows, Panels w, Activation activation, Rows residual, Rows y);

    std::size_t (*attention_scratch)(int length, int head_dim);
    void (*attention)(const Attention& a);

    // weight and bias are zero-padded to column_padding. y may be x.
    void (*layer_norm)(Rows x, int rows, int n, const float* weight, const float* bias, float eps,
                       Rows y);
};

extern const Kernels portable_kernels;
extern const Kernels avx2_kernels;
extern const Kernels avx512_kernels;

}  // namespace crossrank
