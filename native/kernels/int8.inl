// Dense layers in int8, the rest in fp32. A file for an instruction set defines LANES, TILE_ROWS,
// KERNELS and KERNELS_ISA, includes kernels.h and vectors.inl, and says how integers multiply:
//
//   Digit, Weight   what rows and weights are kept as
//   digit_offset    what a Digit is above its integer, where the multiplication wants no signs
//   group_of(in)    of how many numbers of a row the weights lie side by side; divides depth_of(in)
//   nearest(v)      the nearest integers, ties to even
//   multiply_digits a tile of sums: digits times weights, on top of what each column starts from
//
// Rows and columns are mixed (mix.inl), and then -127 to 127 of their largest magnitude. Integers
// add up exactly, so every instruction set has the same sums, whatever their order.

namespace crossrank {
namespace {

constexpr int tile_rows = TILE_ROWS;
constexpr int panel = 2 * lanes;
static_assert(column_padding % panel == 0);

using Value = float;

#include "convert.inl"
#include "attention.inl"
#include "norm.inl"

inline vec value_gelu(vec x) { return gelu(x); }

#include "values.inl"
#include "mix.inl"

typedef Digit digits __attribute__((vector_size(lanes * sizeof(Digit))));

// An odd number of cache lines, so that the rows of a tile do not compete for the same cache sets.
inline size_t digit_stride(int in) {
    return (depth_of(in) * sizeof(Digit) | 64) / sizeof(Digit);
}

// For each panel of columns: the weights, what their integer sums start from, and the scales.
inline size_t panel_weights(int in) { return size_t(depth_of(in)) * panel * sizeof(Weight); }

inline size_t panel_bytes(int in) { return panel_weights(in) + panel * 2 * sizeof(float); }

size_t block_bytes(int in) { return column_padding / panel * panel_bytes(in); }

template <class T>
void pack_column(const T* weights, int in, int c, Weight* to, int32_t* start, float* scale,
                 float* mixed) {
    const float most = mix_weights(weights, in, mixed);
    const vec factor = splat(factor_to_int8(most));
    const int group = group_of(in);
    int32_t sum = 0;
    for (int k = 0; k < depth_of(in); k += lanes) {
        const ivec integers = nearest(load(mixed + k) * factor);
        for (int i = 0; i < lanes; ++i) {
            const int at = k + i, which = at / group;
            to[(size_t(which) * panel + c) * group + (at - which * group)] = Weight(integers[i]);
            sum += Weight(integers[i]);
        }
    }
    *start = -digit_offset * sum;
    *scale = most / most_int8 / mixed_by(in);
}

template <class T>
void pack_weights(const T* weights, int out, int in, char* panels, float* mixed) {
    const size_t bytes = panel_bytes(in);
    __builtin_memset(panels, 0, round_up(out, column_padding) / panel * bytes);
    for (int c = 0; c < out; ++c) {
        char* to = panels + c / panel * bytes;
        int32_t* start = reinterpret_cast<int32_t*>(to + panel_weights(in));
        float* scales = reinterpret_cast<float*>(start + panel);
        const int at = c % panel;
        pack_column(weights + size_t(c) * in, in, at, reinterpret_cast<Weight*>(to), start + at,
                    scales + at, mixed);
    }
}

void pack(const void* weights, DType dtype, int out, int in, void* blocks, float* row) {
    char* panels = static_cast<char*>(blocks);
    switch (dtype) {
        case DType::f32:
            return pack_weights(static_cast<const float*>(weights), out, in, panels, row);
        case DType::f16:
            return pack_weights(static_cast<const Half*>(weights), out, in, panels, row);
        case DType::bf16:
            return pack_weights(static_cast<const Bfloat*>(weights), out, in, panels, row);
    }
}

// The digits and the scale of each row, and one row of floats.
size_t dense_scratch(int rows, int in) {
    return round_up(rows, tile_rows) * (digit_stride(in) * sizeof(Digit) + sizeof(float)) +
           depth_of(in) * sizeof(float);
}

struct Digits {
    const Digit* data;
    size_t stride;
    const float* scales;
};

Digits quantise(Values x, int rows, int n, void* scratch) {
    Digit* const data = static_cast<Digit*>(scratch);
    const size_t stride = digit_stride(n), count = round_up(rows, tile_rows);
    float* const scales = reinterpret_cast<float*>(data + count * stride);
    float* const mixed = scales + count;
    for (int r = 0; r < rows; ++r) {
        const float* row = static_cast<const float*>(x.data) + r * x.stride;
        const float most = mix(n, [&](int c) { return load(row + c); }, mixed);
        scales[r] = most / most_int8;
        const vec factor = splat(factor_to_int8(most));
        Digit* to = data + r * stride;
        for (int c = 0; c < depth_of(n); c += lanes) {
            const ivec integers = nearest(load(mixed + c) * factor) + digit_offset;
            const digits narrow = __builtin_convertvector(integers, digits);
            __builtin_memcpy(to + c, &narrow, sizeof narrow);
        }
    }
    return {data, stride, scales};
}

// finish(where, x W^T + b) for each vector of the result, while its tile is in the nearest cache.
template <class Finish>
inline void multiply(Digits x, int rows, Packed w, float* y, size_t ldy, Finish finish) {
    int32_t tile[tile_rows * panel];
    const int depth = depth_of(w.in);
    const char* weights = static_cast<const char*>(w.weights);
    for (int column = 0; column < w.out; column += panel, weights += panel_bytes(w.in)) {
        const int32_t* start = reinterpret_cast<const int32_t*>(weights + panel_weights(w.in));
        const float* scales = reinterpret_cast<const float*>(start + panel);
        for (int row = 0; row < rows; row += tile_rows) {
            multiply_digits(x.data + row * x.stride, x.stride,
                            reinterpret_cast<const Weight*>(weights), start, depth, tile);
            for (int r = 0; r < tile_rows; ++r)
                for (int c = 0; c < panel; c += lanes) {
                    ivec sums;
                    __builtin_memcpy(&sums, tile + r * panel + c, sizeof sums);
                    const vec scale = load(scales + c) * x.scales[row + r];
                    finish(y + (row + r) * ldy + column + c,
                           __builtin_convertvector(sums, vec) * scale + load(w.bias + column + c));
                }
        }
    }
}

void dense(Values x, int rows, Packed w, Activation activation, Values y, void* scratch) {
    const Digits quantised = quantise(x, rows, w.in, scratch);
    const auto with = [&](auto f) {
        multiply(quantised, rows, w, static_cast<float*>(y.data), y.stride,
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

void dense_add(Values x, int rows, Packed w, Rows y, void* scratch) {
    multiply(quantise(x, rows, w.in, scratch), rows, w, y.data, y.stride,
             [](float* at, vec v) { store(at, v + load(at)); });
}

void nothing() {}

}  // namespace

extern const Kernels KERNELS = {
    KERNELS_ISA, "int8", sizeof(float), tile_rows, block_bytes, pack, add_row, to_values, nothing,
    nothing, dense_scratch, dense, dense_add, attention_scratch, attention, layer_norm,
    rotate, gate};

}  // namespace crossrank
