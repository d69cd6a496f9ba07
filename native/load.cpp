#include "load.h"

#include <cmath>
#include <cstring>
#include <functional>
#include <set>
#include <stdexcept>
#include <utility>

namespace crossrank {
namespace {

constexpr std::size_t any = 0;  // a dimension the tensor itself decides

std::string describe(const std::vector<std::size_t>& shape) {
    std::string text;
    for (std::size_t n : shape) {
        if (!text.empty()) text += ", ";
        text += n ? std::to_string(n) : "any";
    }
    return "[" + text + "]";
}

// Reads tensors into the memory it is given. What is mapped is there already: no tensor is looked at.
class Loader {
public:
    Loader(const TensorMap& tensors, Archive& memory) : tensors_(tensors), memory_(memory) {}

    Table table(const std::string& name, std::size_t rows, std::size_t columns) {
        const TensorView* given = memory_.mapped() ? nullptr : &take(name, {rows, columns});
        Table table;
        const std::uint64_t dtype = memory_.number(given ? std::uint64_t(given->dtype) : 0);
        table.dtype = DType(dtype);
        table.rows = memory_.number(given ? given->shape[0] : 0);
        table.columns = memory_.number(given ? given->shape[1] : 0);
        // Of a mapped file, which may be damaged: its size is checked by what follows, if that is no wrapped number.
        constexpr std::size_t most = std::size_t(1) << 31;
        if (dtype > std::uint64_t(DType::bf16) || table.rows >= most || table.columns >= most)
            throw std::runtime_error("the packed weights hold a table that cannot be");
        const std::size_t bytes = table.rows * table.columns * size_of(table.dtype);
        table.values =
            memory_.block(bytes, [&](std::byte* to) { std::memcpy(to, given->data, bytes); });
        return table;
    }

    Norm norm(const std::string& name, std::size_t n, bool bias) {
        return {vector(name + ".weight", n), bias ? vector(name + ".bias", n) : zeros(n)};
    }

    // As in training everywhere: frequencies and angles are rounded to fp32, their cosines not yet.
    Angles angles(double theta, std::size_t positions, std::size_t head_dim) {
        const std::size_t stride = round_up(head_dim / 2, column_padding);
        const auto table = [&](double (*function)(double)) {
            return floats(positions * stride, [&](float* to) {
                for (std::size_t c = 0; c < head_dim / 2; ++c) {
                    const float power =
                        float(std::pow(theta, double(float(2 * c) / float(head_dim))));
                    const float frequency = 1.0f / power;
                    for (std::size_t p = 0; p < positions; ++p)
                        to[p * stride + c] = float(function(double(float(p) * frequency)));
                }
            });
        };
        const float* cosines = table(std::cos);
        return {cosines, table(std::sin), stride};
    }

    // Packed for the kernels that will compute with it.
    Linear linear(const Kernels& kernels, const std::string& name, std::size_t out,
                  std::size_t in, bool bias) {
        return linear(kernels, std::vector<std::string>{name}, out, in, bias);
    }

    Linear linear(const Kernels& kernels, const std::vector<std::string>& parts, std::size_t out,
                  std::size_t in, bool with_bias) {
        const std::size_t width = round_up(out, column_padding);
        const std::size_t bytes = width / column_padding * kernels.block_bytes(int(in));
        const auto pack = [&](std::byte* to) {
            Block row(round_up(in, row_padding) * sizeof(float));
            for (const std::string& part : parts) {
                const TensorView& weight = take(part + ".weight", {out, in});
                kernels.pack(weight.data, weight.dtype, int(out), int(in), to,
                             reinterpret_cast<float*>(row.data()));
                to += bytes;
            }
        };
        const auto copy_biases = [&](float* to) {
            if (!with_bias) return;
            for (const std::string& part : parts) {
                copy(part + ".bias", out, to);
                to += width;
            }
        };
        const std::byte* weights = memory_.block(parts.size() * bytes, pack);
        return {int(in), int(width * (parts.size() - 1) + out), weights,
                floats(parts.size() * width, copy_biases)};
    }

    // All tensors are taken: whatever else was given is a mistake.
    void finish() const {
        memory_.finish();
        if (memory_.mapped()) return;
        for (const auto& [name, tensor] : tensors_)
            if (!taken_.count(name))
                throw std::invalid_argument("unexpected tensor " + name + " of shape " +
                                            describe(tensor.shape));
    }

private:
    const TensorView& take(const std::string& name, std::vector<std::size_t> shape) {
        const auto found = tensors_.find(name);
        if (found == tensors_.end())
            throw std::invalid_argument("missing tensor " + name + " of shape " + describe(shape));
        const TensorView& tensor = found->second;
        bool fits = tensor.shape.size() == shape.size();
        for (std::size_t i = 0; fits && i < shape.size(); ++i)
            fits = tensor.shape[i] > 0 && (shape[i] == any || shape[i] == tensor.shape[i]);
        if (!fits)
            throw std::invalid_argument("tensor " + name + " has shape " + describe(tensor.shape) +
                                        ", expected " + describe(shape));
        taken_.insert(name);
        return tensor;
    }

    const float* floats(std::size_t n, const std::function<void(float*)>& fill) {
        return reinterpret_cast<const float*>(
            memory_.block(round_up(n, column_padding) * sizeof(float),
                          [&](std::byte* to) { fill(reinterpret_cast<float*>(to)); }));
    }

    const float* vector(const std::string& name, std::size_t n) {
        return floats(n, [&](float* to) { copy(name, n, to); });
    }

    const float* zeros(std::size_t n) {
        return floats(n, [](float*) {});
    }

    void copy(const std::string& name, std::size_t n, float* zeroed) {
        const TensorView& tensor = take(name, {n});
        portable_fp32.add_row(tensor.data, tensor.dtype, int(n), zeroed);
    }

    const TensorMap& tensors_;
    Archive& memory_;
    std::set<std::string> taken_;
};

}  // namespace

Weights load_weights(const Config& config, const TensorMap& tensors, const Kernels& body,
                     const Kernels& exact, Archive memory) {
    Loader load(tensors, memory);
    const Config& c = config;
    const std::size_t hidden = c.hidden, intermediate = c.intermediate;
    Weights w;
    w.words = load.table("embeddings.word", any, any);
    const std::size_t width = w.words.columns;  // ELECTRA's embeddings may be narrower
    if (!c.rotary()) w.positions = load.table("embeddings.position", c.positions, width);
    if (c.segments) w.types = load.table("embeddings.type", c.segments, width);
    w.embedding_norm = load.norm("embeddings.norm", width, c.norm_bias);
    if (width != hidden) w.project = load.linear(exact, "embeddings.project", hidden, width, true);

    for (std::size_t i = 0; i < c.layers.size(); ++i) {
        const std::string attention = "layers." + std::to_string(i) + ".attention.";
        const std::string ffn = "layers." + std::to_string(i) + ".ffn.";
        std::vector<std::string> up = {ffn + "up"};
        if (c.gated) up.push_back(ffn + "gate");
        const Sight sight = c.layers[i];
        if (c.rotary() && !w.angles.count(sight.theta))
            w.angles.emplace(sight.theta, load.angles(sight.theta, c.positions, hidden / c.heads));
        w.layers.push_back({
            .sight = sight,
            .qkv = load.linear(body, {attention + "query", attention + "key", attention + "value"},
                               hidden, hidden, c.attention_bias),
            .output = load.linear(body, attention + "output", hidden, hidden, c.attention_bias),
            .attention_norm = load.norm(attention + "norm", hidden, c.norm_bias),
            .up = load.linear(body, up, intermediate, hidden, c.ffn_bias),
            .down = load.linear(body, ffn + "down", hidden, intermediate, c.ffn_bias),
            .ffn_norm = load.norm(ffn + "norm", hidden, c.norm_bias),
        });
    }
    std::size_t in = hidden;
    for (const HeadStep& step : c.head) {
        const std::string name = "head." + std::to_string(w.head.size());
        HeadWeights& weights = w.head.emplace_back();
        if (step.norm)
            weights.norm = load.norm(name, in, step.bias);
        else
            weights.dense = load.linear(exact, name, step.out, in, step.bias);
        in = step.out;
    }
    load.finish();
    w.memory = std::move(memory);
    return w;
}

}  // namespace crossrank
