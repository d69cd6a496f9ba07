// Every instruction set this CPU has, against plain double-precision loops, over odd shapes.

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <numbers>
#include <random>
#include <vector>

#include "dispatch.h"
#include "model.h"

using namespace crossrank;

namespace {

int failures = 0;
std::mt19937 generator(7);

void check(double got, double wanted, double tolerance, const char* isa, const char* what) {
    if (std::abs(got - wanted) <= tolerance) return;
    if (++failures <= 20)
        std::printf("%s %s: got %.9g, wanted %.9g\n", isa, what, got, wanted);
}

void fill(float* p, std::size_t n, float scale = 1) {
    std::uniform_real_distribution<float> uniform(-scale, scale);
    for (std::size_t i = 0; i < n; ++i) p[i] = uniform(generator);
}

// A matrix with the padding the kernels ask for, filled throughout: nothing may depend on it.
struct Matrix {
    Matrix(const Kernels& k, std::size_t rows, std::size_t columns)
        : stride(round_up(columns, column_padding) + 16),
          memory((round_up(rows, k.tile_rows) + k.tile_rows) * stride) {
        fill(memory.data(), memory.bytes() / 4);
    }
    Rows rows() { return {memory.data(), stride}; }
    float& at(std::size_t r, std::size_t c) { return memory.data()[r * stride + c]; }
    std::size_t stride;
    Floats memory;
};

double activate(Activation activation, double x) {
    switch (activation) {
        case Activation::none: return x;
        case Activation::gelu: return 0.5 * x * (1 + std::erf(x / std::sqrt(2.0)));
        case Activation::gelu_tanh:
            return 0.5 * x * (1 + std::tanh(std::sqrt(2 / std::numbers::pi) * (x + 0.044715 * x * x * x)));
        case Activation::relu: return x > 0 ? x : 0;
        case Activation::tanh: return std::tanh(x);
    }
    return 0;
}

Linear make_linear(const Kernels& k, const std::vector<float>& weights, int out, int in) {
    const std::size_t width = round_up(out, column_padding);
    Linear linear{in, out, Floats(width * in), Floats(width)};
    k.pack(weights.data(), DType::f32, out, in, linear.weights.data());
    fill(linear.bias.data(), out);
    return linear;
}

void test_linear(const Kernels& k, int rows, int in, int out, Activation activation, bool add) {
    std::vector<float> weights(std::size_t(out) * in);
    fill(weights.data(), weights.size());
    const Linear layer = make_linear(k, weights, out, in);
    Matrix x(k, rows, in), residual(k, rows, out), y(k, rows, out);
    k.linear(x.rows(), rows, layer.panels(), activation, add ? residual.rows() : Rows{nullptr, 0},
             y.rows());
    for (int r = 0; r < rows; ++r)
        for (int c = 0; c < out; ++c) {
            double sum = layer.bias.data()[c];
            for (int i = 0; i < in; ++i) sum += double(x.at(r, i)) * weights[c * in + i];
            const double wanted = activate(activation, sum) + (add ? residual.at(r, c) : 0);
            check(y.at(r, c), wanted, 2e-6 * (1 + std::sqrt(in)), k.name, "linear");
        }
}

// Through a layer of one weight, 1, and one bias, 0.
void test_activation(const Kernels& k, Activation activation, double tolerance) {
    Linear layer = make_linear(k, {1}, 1, 1);
    layer.bias.data()[0] = 0;
    const int rows = 20001;
    Matrix x(k, rows, 1), y(k, rows, 1);
    for (int r = 0; r < rows; ++r) x.at(r, 0) = float(r - rows / 2) / 1000;
    k.linear(x.rows(), rows, layer.panels(), activation, {nullptr, 0}, y.rows());
    for (int r = 0; r < rows; ++r) {
        const double wanted = activate(activation, x.at(r, 0));
        check(y.at(r, 0), wanted, tolerance * (1 + std::abs(x.at(r, 0))), k.name, "activation");
    }
}

void test_attention(const Kernels& k, int length, int dim, int queries, float scale) {
    // One head between two others, one sequence between two others.
    const int before = 3, at = dim, part = 3 * dim;
    Matrix x(k, length + before + 5, 3 * part), y(k, length + before + 5, part);
    for (int r = 0; r < length + before; ++r) fill(&x.at(r, 0), 3 * part, scale);
    Floats scratch(k.attention_scratch(length, dim));
    fill(scratch.data(), scratch.bytes() / 4);
    for (int r = 0; r < length + before + 5; ++r)
        for (int c = 0; c < part; ++c) y.at(r, c) = 99;
    k.attention({.q = &x.at(before, at), .k = &x.at(before, part + at),
                 .v = &x.at(before, 2 * part + at), .stride = x.stride, .out = &y.at(before, at),
                 .out_stride = y.stride, .length = length, .queries = queries, .head_dim = dim,
                 .scratch = scratch.data()});
    for (int r = 0; r < length + before + 5; ++r)
        for (int c = 0; c < part; ++c) {
            const bool mine = r >= before && r < before + queries && c >= at && c < at + dim;
            if (!mine) check(y.at(r, c), 99, 0, k.name, "attention's neighbour");
        }
    std::vector<double> p(length);
    for (int q = 0; q < queries; ++q) {
        double total = 0, highest = -std::numeric_limits<double>::infinity();
        for (int j = 0; j < length; ++j) {
            p[j] = 0;
            for (int c = 0; c < dim; ++c)
                p[j] += double(x.at(before + q, at + c)) * x.at(before + j, part + at + c);
            p[j] /= std::sqrt(double(dim));
            highest = std::max(highest, p[j]);
        }
        for (double& e : p) total += e = std::exp(e - highest);
        for (int c = 0; c < dim; ++c) {
            double wanted = 0;
            for (int j = 0; j < length; ++j)
                wanted += p[j] / total * x.at(before + j, 2 * part + at + c);
            const double tolerance = 4e-6 * scale * (1 + scale * scale);
            check(y.at(before + q, at + c), wanted, tolerance, k.name, "attention");
        }
    }
}

void test_layer_norm(const Kernels& k, int rows, int n, float shift) {
    Matrix x(k, rows, n), y(k, rows, n);
    Floats weight(round_up(n, column_padding)), bias(round_up(n, column_padding));
    fill(weight.data(), n);
    fill(bias.data(), n);
    for (int r = 0; r < rows; ++r)
        for (int c = 0; c < n; ++c) x.at(r, c) += shift;
    k.layer_norm(x.rows(), rows, n, weight.data(), bias.data(), 1e-5f, y.rows());
    for (int r = 0; r < rows; ++r) {
        double mean = 0, variance = 0;
        for (int c = 0; c < n; ++c) mean += x.at(r, c) / double(n);
        for (int c = 0; c < n; ++c) variance += std::pow(x.at(r, c) - mean, 2) / n;
        for (int c = 0; c < n; ++c) {
            const double wanted = (x.at(r, c) - mean) / std::sqrt(variance + 1e-5) *
                                      weight.data()[c] + bias.data()[c];
            check(y.at(r, c), wanted, 4e-6 * (1 + std::abs(shift)), k.name, "layer_norm");
        }
    }
}

// Every 16-bit pattern, among them denormals, infinities and NaNs.
void test_conversion(const Kernels& k) {
    std::vector<std::uint16_t> patterns(65536);
    for (int i = 0; i < 65536; ++i) patterns[i] = std::uint16_t(i);
    std::vector<float> halves(65536), bfloats(65536);
    k.add_row(patterns.data(), DType::f16, 65536, halves.data());
    k.add_row(patterns.data(), DType::bf16, 65536, bfloats.data());
    for (int i = 0; i < 65536; ++i) {
        const int exponent = i >> 10 & 31, fraction = i & 1023;
        double wanted = exponent ? std::ldexp(1024 + fraction, exponent - 25)
                                 : std::ldexp(fraction, -24);
        if (exponent == 31) wanted = fraction ? NAN : INFINITY;
        if (i & 0x8000) wanted = -wanted;
        const bool same = std::isnan(wanted) ? std::isnan(halves[i]) : halves[i] == wanted;
        if (!same) check(halves[i], wanted, -1, k.name, "half");
        const std::uint32_t bits = std::uint32_t(i) << 16;
        float bfloat;
        std::memcpy(&bfloat, &bits, 4);
        const bool equal = std::isnan(bfloat) ? std::isnan(bfloats[i]) : bfloats[i] == bfloat;
        if (!equal) check(bfloats[i], bfloat, -1, k.name, "bfloat");
    }
}

}  // namespace

int main() {
    for (const Kernels* kernels : available_kernels()) {
        const Kernels& k = *kernels;
        for (int rows : {1, 5, 12, 13, 37})
            for (int in : {1, 7, 20, 96, 385})
                for (int out : {1, 8, 31, 32, 33, 100})
                    test_linear(k, rows, in, out, Activation(rows % 5), in % 2);
        test_activation(k, Activation::gelu, 5e-7);
        test_activation(k, Activation::gelu_tanh, 5e-7);
        test_activation(k, Activation::relu, 0);
        test_activation(k, Activation::tanh, 5e-7);
        for (int length : {1, 2, 11, 12, 13, 31, 32, 33, 90, 200})
            for (int dim : {1, 8, 12, 20, 32, 33, 64})
                for (float scale : {1.0f, 6.0f})
                    for (int queries : {1, length}) test_attention(k, length, dim, queries, scale);
        for (int n : {1, 2, 12, 36, 100, 384, 385})
            for (float shift : {0.0f, 50.0f}) test_layer_norm(k, 7, n, shift);
        test_conversion(k);
        std::printf("%s: %d failures\n", k.name, failures);
    }
    return failures != 0;
}
