#include "load.h"

#include <initializer_list>
#include <set>
#include <stdexcept>

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

class Loader {
public:
    Loader(const TensorMap& tensors, const Kernels& kernels)
        : tensors_(tensors), kernels_(kernels) {}

    Table table(const std::string& name, std::size_t columns) {
        const TensorView& t = take(name, {any, columns});
        const auto* first = static_cast<const std::byte*>(t.data);
        Table table{t.dtype, t.shape[0], t.shape[1], {}};
        table.values.assign(first, first + table.rows * table.columns * size_of(t.dtype));
        bytes_ += table.values.size();
        return table;
    }

    Norm norm(const std::string& name, std::size_t n) {
        Norm norm{floats(n), floats(n)};
        copy(name + ".weight", n, norm.weight.data());
        copy(name + ".bias", n, norm.bias.data());
        return norm;
    }

    Linear linear(const std::string& name, std::size_t out, std::size_t in) {
        return linear(std::initializer_list<std::string>{name}, out, in);
    }

    Linear linear(std::initializer_list<std::string> parts, std::size_t out, std::size_t in) {
        const std::size_t width = round_up(out, column_padding);
        Linear linear{int(in), int(width * (parts.size() - 1) + out),
                      floats(parts.size() * width * in), floats(parts.size() * width)};
        float* panels = linear.weights.data();
        float* bias = linear.bias.data();
        for (const std::string& part : parts) {
            const TensorView& weight = take(part + ".weight", {out, in});
            kernels_.pack(weight.data, weight.dtype, int(out), int(in), panels);
            copy(part + ".bias", out, bias);
            panels += width * in;
            bias += width;
        }
        return linear;
    }

    // All tensors are taken: whatever else was given is a mistake.
    std::size_t finish() const {
        for (const auto& [name, tensor] : tensors_)
            if (!taken_.count(name))
                throw std::invalid_argument("unexpected tensor " + name + " of shape " +
                                            describe(tensor.shape));
        return bytes_;
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

    Floats floats(std::size_t n) {
        Floats floats(round_up(n, column_padding));
        bytes_ += floats.bytes();
        return floats;
    }

    void copy(const std::string& name, std::size_t n, float* zeroed) {
        const TensorView& tensor = take(name, {n});
        kernels_.add_row(tensor.data, tensor.dtype, int(n), zeroed);
    }

    const TensorMap& tensors_;
    const Kernels& kernels_;
    std::set<std::string> taken_;
    std::size_t bytes_ = 0;
};

}  // namespace

Weights load_weights(const Config& config, const TensorMap& tensors, const Kernels& kernels) {
    Loader load(tensors, kernels);
    const std::size_t hidden = config.hidden, intermediate = config.intermediate;
    Weights w;
    w.words = load.table("embeddings.word", any);
    const std::size_t width = w.words.columns;  // ELECTRA's embeddings may be narrower
    w.positions = load.table("embeddings.position", width);
    w.types = load.table("embeddings.type", width);
    w.embedding_norm = load.norm("embeddings.norm", width);
    if (width != hidden) w.project = load.linear("embeddings.project", hidden, width);

    for (int i = 0; i < config.layers; ++i) {
        const std::string layer = "layers." + std::to_string(i) + ".";
        const std::string attention = layer + "attention.";
        w.layers.push_back({
            .qkv = load.linear({attention + "query", attention + "key", attention + "value"},
                               hidden, hidden),
            .output = load.linear(attention + "output", hidden, hidden),
            .attention_norm = load.norm(attention + "norm", hidden),
            .up = load.linear(layer + "ffn.up", intermediate, hidden),
            .down = load.linear(layer + "ffn.down", hidden, intermediate),
            .ffn_norm = load.norm(layer + "ffn.norm", hidden),
        });
    }
    w.head_dense = load.linear("head.dense", hidden, hidden);
    w.head_output = load.linear("head.output", config.labels, hidden);
    w.bytes = load.finish();
    return w;
}

}  // namespace crossrank
