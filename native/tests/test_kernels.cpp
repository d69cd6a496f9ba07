// All kernels this CPU can run against plain double-precision loops, over odd shapes.

#include <cstdio>
#include <limits>
#include <numbers>
#include <string>

#include "dispatch.h"
#include "inputs.h"

using namespace crossrank;

namespace {

int failures = 0;

struct Subject : Kernels {
    explicit Subject(const Kernels& k)
        : Kernels(k), name(std::string(k.isa) + " " + k.precision), narrow(k.value_bytes == 2) {}

    // How far a result may be from `wanted` by the rounding of a value alone.
    double value_error(double wanted) const { return narrow ? std::abs(wanted) / 256 : 0; }

    std::string name;
    bool narrow;  // values are bf16
};

void check(const Subject& k, const char* what, double got, double wanted, double tolerance) {
    if (std::abs(got - wanted) <= tolerance) return;
    if (++failures <= 20)
        std::printf("%s %s: got %.9g, wanted %.9g +- %.2g\n", k.name.c_str(), what, got, wanted,
                    tolerance);
}

void check(const Subject& k, const char* what, bool holds) {
    if (!holds && ++failures <= 20) std::printf("%s: not %s\n", k.name.c_str(), what);
}

constexpr Activation activations[] = {Activation::none, Activation::gelu, Activation::gelu_tanh,
                                      Activation::relu, Activation::tanh};

double activate(Activation activation, double x) {
    switch (activation) {
        case Activation::none: return x;
        case Activation::gelu: return 0.5 * x * (1 + std::erf(x / std::sqrt(2.0)));
        case Activation::gelu_tanh:
            return 0.5 * x *
                   (1 + std::tanh(std::sqrt(2 / std::numbers::pi) * (x + 0.044715 * x * x * x)));
        case Activation::relu: return x > 0 ? x : 0;
        case Activation::tanh: return std::tanh(x);
    }
    return 0;
}

// Narrow values allow a shorter GELU.
double activation_error(const Subject& k, Activation activation, double x) {
    if (activation == Activation::none || activation == Activation::relu) return 0;
    return (k.narrow ? 1.5e-5 : 5e-7) * (1 + std::abs(x));
}

std::vector<float> random_weights(int out, int in) {
    std::vector<float> weights(std::size_t(out) * in);
    fill(weights.data(), weights.size());
    return weights;
}

void test_dense(const Subject& k, int rows, int in, int out, Activation activation) {
    std::vector<float> weights = random_weights(out, in), row(in);
    fill_with_ties(&weights[(out - 1) * in], in, 0.7f);
    const Layered layer(k, weights, out, in);
    ValueMatrix x(k, rows, in), y(k, rows, out);
    fill_with_ties(row.data(), in, 0.9f);
    for (int c = 0; c < in; ++c) x.set(rows / 2, c, 0);  // nothing to divide by
    for (int c = 0; c < in; ++c) x.set(0, c, row[c]);
    Matrix sum(k, rows, out);
    const std::vector<float> residual(&sum.at(0, 0), &sum.at(rows, 0));
    Block scratch(k.dense_scratch(rows, in));
    k.dense(x.values(), rows, layer.packed(), activation, y.values(), scratch.data());
    k.dense_add(x.values(), rows, layer.packed(), sum.rows(), scratch.data());

    // Integers are exact: a single one off by one would be thirty times the tolerance.
    const bool exact = std::strcmp(k.precision, "int8") == 0;
    std::vector<Operand> columns;
    for (int c = 0; c < out; ++c) columns.emplace_back(k.precision, &layer.weights[c * in], in);
    for (int r = 0; r < rows; ++r) {
        for (int c = 0; c < in; ++c) row[c] = x.at(r, c);
        const Operand operand(k.precision, row.data(), in);
        for (int c = 0; c < out; ++c) {
            const double product = operand.dot(columns[c]) + layer.bias.data()[c];
            const double tolerance = exact ? 2e-6 * (1 + std::abs(product))
                                           : 3e-6 * (1 + std::sqrt(in) + std::abs(product));
            const double wanted = activate(activation, product);
            check(k, "dense", y.at(r, c), wanted,
                  tolerance + activation_error(k, activation, product) + k.value_error(wanted));
            check(k, "dense_add", sum.at(r, c), product + residual[r * sum.stride + c], tolerance);
        }
    }
}

// Rows with one number that is fifty times the others, against the product of what was given: the
// error is 0.4 in int8, and 1.3 where that number leaves the others only a few steps.
void test_large_number(const Subject& k) {
    const int rows = 7, in = 384, out = 64;
    const Layered layer(k, random_weights(out, in), out, in);
    ValueMatrix x(k, rows, in), y(k, rows, out);
    for (int r = 0; r < rows; ++r) x.set(r, 50 * r + 5, r % 2 ? 50 : -50);
    Block scratch(k.dense_scratch(rows, in));
    k.dense(x.values(), rows, layer.packed(), Activation::none, y.values(), scratch.data());
    double squares = 0;
    for (int r = 0; r < rows; ++r)
        for (int c = 0; c < out; ++c) {
            double product = layer.bias.data()[c];
            for (int i = 0; i < in; ++i) product += double(x.at(r, i)) * layer.weights[c * in + i];
            squares += std::pow(y.at(r, c) - product, 2);
        }
    check(k, "close where a number is large", std::sqrt(squares / (rows * out)) < 0.5);
}

// Through a layer of one weight, 1, and one bias, 0.
void test_activation(const Subject& k, Activation activation) {
    Layered layer(k, {1}, 1, 1);
    layer.bias.data()[0] = 0;
    const int rows = 20001;
    ValueMatrix x(k, rows, 1), y(k, rows, 1);
    for (int r = 0; r < rows; ++r) x.set(r, 0, float(r - rows / 2) / 1000);
    Block scratch(k.dense_scratch(rows, 1));
    k.dense(x.values(), rows, layer.packed(), activation, y.values(), scratch.data());
    for (int r = 0; r < rows; ++r) {
        const double at = x.at(r, 0), wanted = activate(activation, at);
        const double rounding = std::strcmp(k.precision, "int8") ? 0 : 3e-7 * std::abs(at);
        check(k, "activation", y.at(r, 0), wanted,
              activation_error(k, activation, at) + k.value_error(wanted) + rounding);
    }
}

// One head between two others, one sequence between two others; head.x holds q, k and v.
struct Head {
    Head(const Subject& k, int length, int dim, int before, float scale)
        : x(k, before + length + 5, 9 * dim, scale),
          y(k, before + length + 5, 3 * dim),
          length(length),
          dim(dim),
          before(before),
          scratch(k.attention_scratch(length, dim)) {
        fill(reinterpret_cast<float*>(scratch.data()), scratch.bytes() / sizeof(float));
    }

    void run(const Subject& k, int queries, int window = 1000) {
        k.attention({.q = x.where(before, dim), .k = x.where(before, 4 * dim),
                     .v = x.where(before, 7 * dim), .stride = x.stride,
                     .out = y.where(before, dim), .out_stride = y.stride, .length = length,
                     .queries = queries, .head_dim = dim, .scratch = scratch.data(),
                     .window = window});
    }

    float q(int row, int c) const { return x.at(before + row, dim + c); }
    float key(int row, int c) const { return x.at(before + row, 4 * dim + c); }
    float value(int row, int c) const { return x.at(before + row, 7 * dim + c); }

    ValueMatrix x, y;
    int length, dim, before;
    Block scratch;
};

void test_attention(const Subject& k, int length, int dim, int queries, float scale,
                    int window = 1000) {
    Head head(k, length, dim, 3, scale);
    for (std::size_t r = 0; r < head.y.rows; ++r)
        for (std::size_t c = 0; c < head.y.stride; ++c) head.y.set(r, c, 99);
    head.run(k, queries, window);
    bool kept = true;
    for (int r = 0; r < int(head.y.rows); ++r)
        for (int c = 0; c < int(head.y.stride); ++c) {
            const bool mine = r >= 3 && r < 3 + queries && c >= dim && c < 2 * dim;
            kept = kept && (mine || head.y.at(r, c) == 99);
        }
    check(k, "attention within its own rows and columns", kept);

    // Probabilities and results are rounded to bf16, where values are.
    const double tolerance = k.narrow ? scale / 128 : 4e-6 * scale * (1 + scale * scale);
    std::vector<double> p(length);
    for (int q = 0; q < queries; ++q) {
        double total = 0, highest = -std::numeric_limits<double>::infinity();
        for (int j = 0; j < length; ++j) {
            p[j] = 0;
            for (int c = 0; c < dim; ++c) p[j] += double(head.q(q, c)) * head.key(j, c);
            p[j] /= std::sqrt(double(dim));
            if (std::abs(q - j) > window) p[j] = -std::numeric_limits<double>::infinity();
            highest = std::max(highest, p[j]);
        }
        for (double& e : p) total += e = std::exp(e - highest);
        for (int c = 0; c < dim; ++c) {
            double wanted = 0;
            for (int j = 0; j < length; ++j) wanted += p[j] / total * head.value(j, c);
            check(k, "attention", head.y.at(3 + q, dim + c), wanted, tolerance);
        }
    }
}

void test_layer_norm(const Subject& k, int rows, int n, float shift) {
    Matrix x(k, rows, n), y(k, rows, n);
    ValueMatrix values(k, rows, n), converted(k, rows, n);
    Floats weight(round_up(n, column_padding)), bias(round_up(n, column_padding));
    fill(weight.data(), n);
    fill(bias.data(), n);
    for (int r = 0; r < rows; ++r)
        for (int c = 0; c < n; ++c) x.at(r, c) += shift;
    k.layer_norm(x.rows(), rows, n, weight.data(), bias.data(), 1e-5f, y.rows(), values.values());
    k.to_values(y.rows(), rows, n, converted.values());
    ValueMatrix only(k, rows, n);
    k.layer_norm(x.rows(), rows, n, weight.data(), bias.data(), 1e-5f, {}, only.values());
    bool same = true;
    for (int r = 0; r < rows; ++r) {
        double mean = 0, variance = 0;
        for (int c = 0; c < n; ++c) mean += x.at(r, c) / double(n);
        for (int c = 0; c < n; ++c) variance += std::pow(x.at(r, c) - mean, 2) / n;
        const double inverse = 1 / std::sqrt(variance + 1e-5);
        for (int c = 0; c < n; ++c) {
            const double wanted =
                (x.at(r, c) - mean) * inverse * weight.data()[c] + bias.data()[c];
            check(k, "layer_norm", y.at(r, c), wanted, 4e-6 + 3e-7 * (1 + shift) * inverse);
            const float value = k.narrow ? float_of(bfloat_of(y.at(r, c))) : y.at(r, c);
            same = same && values.at(r, c) == value && converted.at(r, c) == value &&
                   only.at(r, c) == value;
        }
    }
    check(k, "values that are the nearest to the floats", same);
}

void test_rotate(const Subject& k, int rows, int heads, int dim) {
    const int half = dim / 2, width = heads * dim;
    const Matrix cosines(k, rows, half), sines(k, rows, half);
    ValueMatrix x(k, rows, width + 3), before(k, rows, width + 3);
    std::memcpy(x.memory.data(), before.memory.data(), before.memory.bytes());
    k.rotate(x.values(), rows, heads, dim, {&cosines.at(0, 0), &sines.at(0, 0), cosines.stride});
    for (int r = 0; r < rows; ++r) {
        for (int c = 0; c < width; ++c) {
            const int i = c % half, first = c / dim * dim + i;
            const double a = before.at(r, first), b = before.at(r, first + half);
            const double cosine = cosines.at(r, i), sine = sines.at(r, i);
            const double wanted = c % dim < half ? a * cosine - b * sine : b * cosine + a * sine;
            check(k, "rotate", x.at(r, c), wanted, 2e-7 + k.value_error(wanted));
        }
        for (int c = width; c < width + 3; ++c)
            check(k, "rotate's neighbour", x.at(r, c), before.at(r, c), 0);
    }
}

void test_gate(const Subject& k, int rows, int n, Activation activation) {
    const int apart = int(round_up(n, column_padding));
    ValueMatrix x(k, rows, apart + n, 4), before(k, rows, apart + n, 4);
    std::memcpy(x.memory.data(), before.memory.data(), before.memory.bytes());
    k.gate(x.values(), rows, n, activation);
    for (int r = 0; r < rows; ++r)
        for (int c = 0; c < n; ++c) {
            const double at = before.at(r, c), by = before.at(r, apart + c);
            const double wanted = activate(activation, at) * by;
            check(k, "gate", x.at(r, c), wanted,
                  (5e-7 + activation_error(k, activation, at)) * std::abs(by) +
                      k.value_error(wanted));
        }
}

// A row's results have the same bits, alone and in any place among others.
void test_rows_apart(const Subject& k, int in, int out) {
    const int rows = 2 * k.tile_rows + 5;
    const Layered layer(k, random_weights(out, in), out, in);
    Floats weight(round_up(out, column_padding)), bias(round_up(out, column_padding));
    fill(weight.data(), out);
    const auto run = [&](const ValueMatrix& x, int count, Matrix& sum, ValueMatrix& y,
                         ValueMatrix& normalised) {
        Block scratch(k.dense_scratch(count, in));
        k.dense(x.values(), count, layer.packed(), Activation::gelu, y.values(), scratch.data());
        k.dense_add(x.values(), count, layer.packed(), sum.rows(), scratch.data());
        k.layer_norm(sum.rows(), count, out, weight.data(), bias.data(), 1e-5f, sum.rows(),
                     normalised.values());
    };
    const ValueMatrix x(k, rows, in);
    ValueMatrix y(k, rows, out), normalised(k, rows, out);
    Matrix sum(k, rows, out);
    const std::vector<float> residual(&sum.at(0, 0), &sum.at(rows, 0));
    run(x, rows, sum, y, normalised);
    for (int r = 0; r < rows; ++r)
        for (int count : {1, rows}) {  // alone, and last among as many others
            const ValueMatrix moved(k, count, in, 100);
            ValueMatrix one(k, count, out), one_normalised(k, count, out);
            Matrix one_sum(k, count, out);
            std::memcpy(moved.where(count - 1, 0), x.where(r, 0), in * k.value_bytes);
            std::memcpy(&one_sum.at(count - 1, 0), &residual[r * sum.stride], out * sizeof(float));
            run(moved, count, one_sum, one, one_normalised);
            const int at = count - 1;
            const std::size_t bytes = out * k.value_bytes;
            check(k, "the same bits in another place",
                  !std::memcmp(one.where(at, 0), y.where(r, 0), bytes) &&
                      !std::memcmp(&one_sum.at(at, 0), &sum.at(r, 0), out * sizeof(float)) &&
                      !std::memcmp(one_normalised.where(at, 0), normalised.where(r, 0), bytes));
        }
}

void test_sequences_apart(const Subject& k, int length, int dim) {
    Head here(k, length, dim, 3, 1), there(k, length, dim, 8, 100);
    for (int r = 0; r < length; ++r)
        for (int part : {1, 4, 7})
            std::memcpy(there.x.where(8 + r, part * dim), here.x.where(3 + r, part * dim),
                        dim * k.value_bytes);
    here.run(k, length);
    for (int queries : {length, 1}) {
        there.run(k, queries);
        for (int r = 0; r < queries; ++r)
            check(k, "the same bits beside other sequences",
                  !std::memcmp(there.y.where(8 + r, dim), here.y.where(3 + r, dim),
                               dim * k.value_bytes));
    }
}

// What is not a number, or too large, must not end as a plausible one.
void test_not_finite(const Subject& k) {
    const int in = 70, out = 40, rows = 5;
    std::vector<float> weights = random_weights(out, in);
    weights[7 * in + 3] = NAN;
    const Layered layer(k, weights, out, in);
    ValueMatrix x(k, rows, in), y(k, rows, out);
    const std::uint32_t bits[2] = {0x7fc00000, 0x7f800000};  // NaN, infinity
    for (int i = 0; i < 2; ++i)
        std::memcpy(x.where(1 + 2 * i, 5), (const char*)&bits[i] + 4 - k.value_bytes,
                    k.value_bytes);
    Block scratch(k.dense_scratch(rows, in));
    k.dense(x.values(), rows, layer.packed(), Activation::none, y.values(), scratch.data());
    for (int r = 0; r < rows; ++r)
        for (int c = 0; c < out; ++c)
            check(k, "not finite where it must be, and nowhere else",
                  std::isfinite(y.at(r, c)) == (r % 2 == 0 && c != 7));
}

// Every 16-bit pattern, among them denormals, infinities and NaNs.
void test_conversion(const Subject& k) {
    std::vector<std::uint16_t> patterns(65536);
    for (int i = 0; i < 65536; ++i) patterns[i] = std::uint16_t(i);
    std::vector<float> halves(65536), bfloats(65536);
    k.add_row(patterns.data(), DType::f16, 65536, halves.data());
    k.add_row(patterns.data(), DType::bf16, 65536, bfloats.data());
    const auto same = [](float a, double b) { return std::isnan(b) ? std::isnan(a) : a == b; };
    for (int i = 0; i < 65536; ++i) {
        const int exponent = i >> 10 & 31, fraction = i & 1023;
        double wanted = exponent ? std::ldexp(1024 + fraction, exponent - 25)
                                 : std::ldexp(fraction, -24);
        if (exponent == 31) wanted = fraction ? NAN : INFINITY;
        if (i & 0x8000) wanted = -wanted;
        if (!same(halves[i], wanted)) check(k, "half", halves[i], wanted, -1);
        const float bfloat = float_of(std::uint16_t(i));
        if (!same(bfloats[i], bfloat)) check(k, "bfloat", bfloats[i], bfloat, -1);
    }
}

void test(const Subject& k) {
    for (int rows : {1, 5, 12, 13, 37})
        for (int in : {1, 7, 20, 64, 128, 385})
            for (int out : {1, 8, 31, 32, 33, 100})
                test_dense(k, rows, in, out, Activation((rows + in) % 5));
    test_dense(k, 40, 1537, 64, Activation::none);
    test_large_number(k);
    for (Activation a : activations) test_activation(k, a);
    for (int dim : {8, 12, 20, 32, 33, 64, 80, 128}) {
        for (int length : {1, 2, 11, 12, 13, 16, 17, 31, 32, 33, 65, 130})
            for (float scale : {1.0f, 6.0f}) test_attention(k, length, dim, length, scale);
        test_attention(k, 1, dim, 1, 1);
        test_attention(k, 200, dim, 1, 1);
        test_attention(k, 90, dim, 20, 1);
        for (int window : {0, 1, 15, 64}) test_attention(k, 150, dim, 150, 1, window);
        for (int length : {1, 13, 40}) test_sequences_apart(k, length, dim);
    }
    for (int n : {1, 2, 12, 36, 100, 384, 385})
        for (float shift : {0.0f, 50.0f}) test_layer_norm(k, 7, n, shift);
    for (int dim : {2, 8, 20, 64, 80}) test_rotate(k, 7, 3, dim);
    for (int n : {1, 20, 32, 100})
        for (Activation a : activations) test_gate(k, 7, n, a);
    test_rows_apart(k, 70, 40);
    test_not_finite(k);
    test_conversion(k);
}

}  // namespace

int main() {
    for (const Kernels* kernels : available_kernels()) {
        const Subject k(*kernels);
        const int before = failures;
        k.enter();
        test(k);
        k.leave();
        std::printf("%s: %d failures\n", k.name.c_str(), failures - before);
    }
    return failures != 0;
}
