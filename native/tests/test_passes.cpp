// Passes that are chained, dropped and waited for: the same bits as a run, and no data race (under a sanitizer).

#include <cstdio>
#include <memory>
#include <vector>

#include "dispatch.h"
#include "inputs.h"
#include "pass.h"

using namespace crossrank;

namespace {

constexpr int hidden = 32, layers = 2, words = 50, positions = 40, rows = 60, length = 30;

// Random weights of a small BERT, held for as long as an encoder is made of them.
struct Weights32 {
    void add(const std::string& name, std::vector<std::size_t> shape) {
        std::size_t size = 1;
        for (const std::size_t n : shape) size *= n;
        auto& values = held.emplace_back(std::make_unique<std::vector<float>>(size));
        fill(values->data(), size);
        tensors[name] = {values->data(), DType::f32, std::move(shape)};
    }
    void dense(const std::string& name, std::size_t out, std::size_t in) {
        add(name + ".weight", {out, in});
        add(name + ".bias", {out});
    }
    void norm(const std::string& name) {
        add(name + ".weight", {hidden});
        add(name + ".bias", {hidden});
    }

    TensorMap tensors;
    std::vector<std::unique_ptr<std::vector<float>>> held;
};

Encoder small() {
    Weights32 weights;
    weights.add("embeddings.word", {words, hidden});
    weights.add("embeddings.position", {positions, hidden});
    weights.norm("embeddings.norm");
    for (int i = 0; i < layers; ++i) {
        const std::string layer = "layers." + std::to_string(i);
        for (const char* part : {"query", "key", "value", "output"})
            weights.dense(layer + ".attention." + part, hidden, hidden);
        weights.norm(layer + ".attention.norm");
        weights.dense(layer + ".ffn.up", 2 * hidden, hidden);
        weights.dense(layer + ".ffn.down", hidden, 2 * hidden);
        weights.norm(layer + ".ffn.norm");
    }
    weights.dense("head.0", 1, hidden);
    const Config config{
        .hidden = hidden, .heads = 4, .intermediate = 2 * hidden, .activation = Activation::gelu,
        .norm_eps = 1e-5f, .positions = positions, .position_offset = 0, .pad_id = -1,
        .segments = 0, .norm_first = false, .gated = false, .attention_bias = true,
        .ffn_bias = true, .norm_bias = true, .layers = std::vector<Sight>(layers, {0, 1 << 30}),
        .pooling = Pooling::first, .head = {{false, 1, Activation::none, 0, true}},
    };
    return Encoder(config, weights.tensors, choose_kernels("auto", "fp32"),
                   choose_kernels("auto", "fp32"));
}

struct Input {
    Input() : ids(rows * length), types(rows * length), logits(rows) {
        for (auto& id : ids) id = std::int32_t(generator() % words);
        for (int i = 0; i <= rows; ++i) offsets.push_back(i * length);
    }
    Batch batch() const { return {ids, types, offsets}; }

    std::vector<std::int32_t> ids, types, offsets;
    std::vector<float> logits;
};

}  // namespace

int main() {
    const Encoder encoder = small();
    int failures = 0;
    for (int round = 0; round < 20; ++round) {
        std::vector<Input> inputs(6);
        std::vector<std::unique_ptr<Pass>> chain;
        for (Input& input : inputs)
            chain.push_back(std::make_unique<Pass>(encoder, input.batch(), 3, input.logits.data(),
                                                   chain.empty() ? nullptr : chain.back().get()));
        chain[round % 6].reset();  // under way, or not yet begun
        for (std::size_t i = 0; i < chain.size(); ++i) {
            if (!chain[i]) continue;
            while (!chain[i]->wait_for(std::chrono::milliseconds(1))) {
            }
            std::vector<float> expected(rows);
            encoder.run(inputs[i].batch(), 1, [] {}, expected.data());
            failures += expected != inputs[i].logits;
        }
    }
    std::printf("passes: %d failures\n", failures);
    return failures != 0;
}
