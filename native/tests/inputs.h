// What the kernels read and write, made of random numbers, and the numbers that a precision
// computes with, in plain loops.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "model.h"

namespace crossrank {

inline std::mt19937 generator(7);

inline void fill(float* p, std::size_t n, float scale = 1) {
    std::uniform_real_distribution<float> uniform(-scale, scale);
    for (std::size_t i = 0; i < n; ++i) p[i] = uniform(generator);
}


// To nearest, ties to even. No NaNs here.
inline std::uint16_t bfloat_of(float v) {
    std::uint32_t bits;
    std::memcpy(&bits, &v, sizeof bits);
    return std::uint16_t((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

inline float float_of(std::uint16_t bfloat) {
    const std::uint32_t bits = std::uint32_t(bfloat) << 16;
    float v;
    std::memcpy(&v, &bits, sizeof v);
    return v;
}

class Floats : public Block {
public:
    explicit Floats(std::size_t size) : Block(size * sizeof(float)) {}
    float* data() const { return reinterpret_cast<float*>(Block::data()); }
};

// Rows with the padding the kernels ask for, filled throughout: nothing may depend on it.
struct Matrix {
    Matrix(const Kernels& k, std::size_t rows, std::size_t columns)
        : stride(round_up(columns, column_padding) + 16),
          memory((round_up(rows, k.tile_rows) + k.tile_rows) * stride) {
        fill(memory.data(), memory.bytes() / sizeof(float));
    }
    Rows rows() const { return {memory.data(), stride}; }
    float& at(std::size_t r, std::size_t c) const { return memory.data()[r * stride + c]; }

    std::size_t stride;
    Floats memory;
};

// The same, of values.
struct ValueMatrix {
    ValueMatrix(const Kernels& k, std::size_t rows, std::size_t columns, float scale = 1)
        : bytes(k.value_bytes),
          rows(round_up(rows, k.tile_rows) + k.tile_rows),
          stride(round_up(columns, column_padding) + 64 / bytes),
          memory(this->rows * stride * bytes) {
        std::vector<float> row(stride);
        for (std::size_t r = 0; r < this->rows; ++r) {
            fill(row.data(), stride, scale);
            for (std::size_t c = 0; c < stride; ++c) set(r, c, row[c]);
        }
    }
    Values values() const { return {memory.data(), stride}; }
    std::byte* where(std::size_t r, std::size_t c) const {
        return memory.data() + (r * stride + c) * bytes;
    }
    float at(std::size_t r, std::size_t c) const {
        float v = 0;
        std::uint16_t bfloat = 0;
        if (bytes == 4) return std::memcpy(&v, where(r, c), 4), v;
        return std::memcpy(&bfloat, where(r, c), 2), float_of(bfloat);
    }
    void set(std::size_t r, std::size_t c, float v) {
        const std::uint16_t bfloat = bfloat_of(v);
        std::memcpy(where(r, c), bytes == 4 ? (const void*)&v : &bfloat, bytes);
    }

    std::size_t bytes, rows, stride;
    Block memory;
};

// A dense layer and the weights it was made of.
struct Layered {
    Layered(const Kernels& k, std::vector<float> w, int out, int in)
        : weights(std::move(w)),
          blocks(round_up(out, column_padding) / column_padding * k.block_bytes(in)),
          bias(round_up(out, column_padding)),
          in(in),
          out(out) {
        const Floats row(round_up(in, row_padding));
        k.pack(weights.data(), DType::f32, out, in, blocks.data(), row.data());
        fill(bias.data(), out);
    }
    Packed packed() const { return {blocks.data(), bias.data(), in, out}; }

    std::vector<float> weights;
    Block blocks;
    Floats bias;
    int in, out;
};

// In int8 both sides of a product are mixed first: of four numbers each becomes the sum of the others
// less itself, over the quarters of each 64 and then over those of the whole.
inline void mix_quarters(float* x, std::size_t n) {
    const std::size_t quarter = n / 4;
    for (std::size_t i = 0; i < quarter; ++i) {
        float &a = x[i], &b = x[i + quarter], &c = x[i + 2 * quarter], &d = x[i + 3 * quarter];
        const float ab = a + b, cd = c + d, less_b = a - b, less_d = c - d;
        a = cd - less_b;
        b = cd + less_b;
        c = ab - less_d;
        d = ab + less_d;
    }
}

inline std::vector<float> mixed(std::vector<float> x) {
    x.resize(round_up(x.size(), 64));
    for (std::size_t first = 0; first < x.size(); first += 64) mix_quarters(&x[first], 64);
    if (x.size() > 64) mix_quarters(x.data(), x.size());
    return x;
}

// Numbers that int8 has to round from halfway, or from one bit beside it: mixing twice is scaling.
inline void fill_with_ties(float* p, int n, float most) {
    std::vector<float> ties(n);
    for (int i = 0; i < n; ++i) ties[i] = (float(i % 126) - 62.5f) * most / 127.0f;
    ties[0] = most;
    ties = mixed(std::move(ties));
    for (int i = 0; i < n; ++i) p[i] = ties[i] / (n > 64 ? 16 : 4);
}

// n numbers as the precision computes with them: in int8 they are mixed, and integers times a scale.
struct Operand {
    Operand(const std::string& precision, const float* x, int n) : numbers(x, x + n) {
        if (precision == "bf16")
            for (float& v : numbers) v = float_of(bfloat_of(v));
        if (precision != "int8") return;
        numbers = mixed(std::move(numbers));
        float most = 0;
        for (float v : numbers) most = std::max(most, std::abs(v));
        const float factor = most > 0 ? 127.0f / most : 0.0f;
        for (float& v : numbers) v = std::nearbyint(v * factor);
        scale = most / 127.0f / (n > 64 ? 4 : 2);
    }

    double dot(const Operand& other) const {
        double sum = 0;
        for (std::size_t i = 0; i < numbers.size(); ++i) sum += double(numbers[i]) * other.numbers[i];
        return sum * scale * other.scale;
    }

    std::vector<float> numbers;
    double scale = 1;
};

}  // namespace crossrank
