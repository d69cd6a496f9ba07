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

// Rows are padded to a multiple of this many columns, so that every store is a full vector. The
// columns of a dense layer are packed in blocks of as many.
constexpr std::size_t column_padding = 32;

// The depth of a product, which is a row of x or of W, is filled up to so much where kernels need it.
constexpr std::size_t row_padding = 64;

// Row-major floats: the residual stream. The memory holds whole tiles of rows, of columns up to
// column_padding; what lies past the last row or column is computed along and never looked at.
struct Rows {
    float* data;
    std::size_t stride;
};

// Row-major activations between dense layers, in the type a precision computes with: value_bytes
// each. Strides count values. Padded like Rows.
struct Values {
    void* data;
    std::size_t stride;
};

// A dense layer: packed weights and a bias that is zero-padded to column_padding.
struct Packed {
    const void* weights;
    const float* bias;
    int in;
    int out;
};

// Rotary positions: for the position p and each column of half a head, in row p, the angle's cosine
// and sine. Zero-padded to column_padding.
struct Rotation {
    const float* cosines;
    const float* sines;
    std::size_t stride;
};

// One head of one sequence; q, k and v are columns of the same rows.
struct Attention {
    const void* q;
    const void* k;
    const void* v;
    std::size_t stride;
    void* out;
    std::size_t out_stride;
    int length;
    int queries;  // only the first so many rows are asked for
    int head_dim;
    void* scratch;  // attention_scratch(length, head_dim) bytes
    int window = 0x7fffffff;  // keys further than this from a query are hidden from it
};

// The kernels of one precision on one instruction set.
struct Kernels {
    const char* isa;
    const char* precision;
    std::size_t value_bytes;
    int tile_rows;  // rows computed together: buffers hold a multiple of it

    // Bytes of one packed block of column_padding columns, and the packing of [out, in] weights
    // into ceil(out / column_padding) of them. `row` has room for `in` floats, padded to row_padding.
    std::size_t (*block_bytes)(int in);
    void (*pack)(const void* weights, DType dtype, int out, int in, void* blocks, float* row);

    // dst += float(src).
    void (*add_row)(const void* src, DType dtype, int n, float* dst);

    // The same numbers as values.
    void (*to_values)(Rows x, int rows, int n, Values values);

    // A thread calls these around its work: some units have a state to set up.
    void (*enter)();
    void (*leave)();

    // Bytes that the dense layers need for so many rows of so many columns.
    std::size_t (*dense_scratch)(int rows, int in);
    // y = activation(x W^T + b).
    void (*dense)(Values x, int rows, Packed w, Activation activation, Values y, void* scratch);
    // y += x W^T + b.
    void (*dense_add)(Values x, int rows, Packed w, Rows y, void* scratch);

    std::size_t (*attention_scratch)(int length, int head_dim);
    void (*attention)(const Attention& a);

    // y = normalised x, which it may be, and the same as values; without y.data only these. weight
    // and bias are zero-padded to column_padding.
    void (*layer_norm)(Rows x, int rows, int n, const float* weight, const float* bias, float eps,
                       Rows y, Values values);

    // Turns each head of row p by the angles of position p: a column of the head's first half and
    // that of its second are the parts of a complex number.
    void (*rotate)(Values x, int rows, int heads, int head_dim, Rotation rotation);
    // x = activation(x) * g, where the n columns of g are those after x's n and their padding.
    void (*gate)(Values x, int rows, int n, Activation activation);
};

extern const Kernels portable_fp32;
extern const Kernels portable_int8;
extern const Kernels neon_fp32;
extern const Kernels neon_int8;  // needs the dot products of ARMv8.2
extern const Kernels avx2_fp32;
extern const Kernels avx2_int8;
extern const Kernels avxvnni_int8;
extern const Kernels avx512_fp32;
extern const Kernels avx512_int8;  // needs VNNI
extern const Kernels amx_bf16;
extern const Kernels amx_int8;

// Whether processor and operating system have tiles, after asking the latter for them.
bool amx_usable();

}  // namespace crossrank
