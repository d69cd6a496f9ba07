// What an encoder is made of: its configuration, and weights in the form the kernels read.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include "archive.h"
#include "kernels/kernels.h"

namespace crossrank {

enum class Pooling { first, mean };

// What the queries of a layer see of keys and positions.
struct Sight {
    double theta;  // the base of the rotary positions; 0: they are learned
    int window;    // keys further away are not seen
};

// The head is a chain of these.
struct HeadStep {
    bool norm;              // a layer norm; otherwise a dense layer
    int out;                // columns
    Activation activation;  // of a dense layer
    float eps;              // of a norm
    bool bias;
};

struct Config {
    int hidden;
    int heads;
    int intermediate;
    Activation activation;
    float norm_eps;
    int positions;        // that there are
    int position_offset;  // 0, or one past the padding index for RoBERTa
    int pad_id;           // -1: none
    int segments;         // 0: they are not told apart
    bool norm_first;      // norms stand before dense layers and leave the residual stream alone
    bool gated;           // GLU
    bool attention_bias, ffn_bias, norm_bias;
    std::vector<Sight> layers;
    Pooling pooling;
    std::vector<HeadStep> head;

    bool rotary() const { return layers[0].theta > 0; }
    int labels() const { return head.back().out; }
};

// A tensor somebody else owns, C-contiguous.
struct TensorView {
    const void* data;
    DType dtype;
    std::vector<std::size_t> shape;
};

using TensorMap = std::map<std::string, TensorView>;

inline std::size_t round_up(std::size_t n, std::size_t to) { return (n + to - 1) / to * to; }

inline std::size_t size_of(DType dtype) { return dtype == DType::f32 ? 4 : 2; }

// Zeroed memory on a cache line boundary. calloc, because it leaves large blocks untouched.
class Block {
public:
    Block() = default;
    explicit Block(std::size_t bytes) : bytes_(bytes), block_(std::calloc(bytes + line, 1)) {
        if (!block_) throw std::bad_alloc();
    }
    std::byte* data() const {
        const auto address = reinterpret_cast<std::uintptr_t>(block_.get());
        return reinterpret_cast<std::byte*>(round_up(address, line));
    }
    std::size_t bytes() const { return bytes_; }

private:
    struct Free {
        void operator()(void* p) const { std::free(p); }
    };
    static constexpr std::size_t line = 64;
    std::size_t bytes_ = 0;
    std::unique_ptr<void, Free> block_;
};

// An embedding table, kept in the type it was stored in and converted on lookup.
struct Table {
    DType dtype = DType::f32;
    std::size_t rows = 0, columns = 0;
    const std::byte* values = nullptr;

    const void* row(std::size_t i) const { return values + i * columns * size_of(dtype); }
};

// A dense layer. Several that read the same input may be joined: each part's columns then begin
// at a multiple of column_padding.
struct Linear {
    int in = 0, out = 0;
    const std::byte* weights = nullptr;
    const float* bias = nullptr;

    Packed packed() const { return {weights, bias, in, out}; }
};

struct Norm {
    const float* weight = nullptr;
    const float* bias = nullptr;
};

// Cosines and sines of rotary positions, a row each.
struct Angles {
    const float* cosines = nullptr;
    const float* sines = nullptr;
    std::size_t stride = 0;

    Rotation rotation() const { return {cosines, sines, stride}; }
};

// Each norm follows what is added to the residual stream: where a model has its norms before the
// sublayers, attention_norm is that of its feed-forward network and ffn_norm that of the next layer.
struct Layer {
    Sight sight;
    Linear qkv, output;
    Norm attention_norm;
    Linear up, down;  // gated: the gate is joined to `up`
    Norm ffn_norm;
};

// Of a step of the head, one or the other.
struct HeadWeights {
    Linear dense;
    Norm norm;
};

struct Weights {
    Table words;
    Table positions, types;  // no rows: none
    std::map<double, Angles> angles;  // by theta
    Norm embedding_norm;
    Linear project;  // in == 0: none, the embeddings are as wide as the layers
    std::vector<Layer> layers;
    std::vector<HeadWeights> head;
    Archive memory;  // of all of them
};

}  // namespace crossrank
