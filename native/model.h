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

#include "kernels/kernels.h"

namespace crossrank {

struct Config {
    int hidden;
    int heads;
    int layers;
    int intermediate;
    int labels;
    Activation activation;
    Activation head_activation;
    float norm_eps;
    int position_offset;  // 0, or one past the padding index for RoBERTa
    int pad_id;           // -1: none
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

// Zeroed floats on a cache line boundary. calloc, because it leaves large blocks untouched.
class Floats {
public:
    Floats() = default;
    explicit Floats(std::size_t size) : size_(size), block_(std::calloc(size * 4 + line, 1)) {
        if (!block_) throw std::bad_alloc();
    }
    float* data() const {
        const auto address = reinterpret_cast<std::uintptr_t>(block_.get());
        return reinterpret_cast<float*>(round_up(address, line));
    }
    std::size_t bytes() const { return size_ * 4; }

private:
    struct Free {
        void operator()(void* p) const { std::free(p); }
    };
    static constexpr std::size_t line = 64;
    std::size_t size_ = 0;
    std::unique_ptr<void, Free> block_;
};

// An embedding table, kept in the type it was stored in and converted on lookup.
struct Table {
    DType dtype;
    std::size_t rows, columns;
    std::vector<std::byte> values;

    const void* row(std::size_t i) const {
        return values.data() + i * columns * size_of(dtype);
    }
};

// A dense layer. Several that read the same input may be joined: each part's columns then begin
// at a multiple of column_padding.
struct Linear {
    int in = 0, out = 0;
    Floats weights, bias;

    Panels panels() const { return {weights.data(), bias.data(), in, out}; }
};

struct Norm {
    Floats weight, bias;
};

struct Layer {
    Linear qkv, output;
    Norm attention_norm;
    Linear up, down;
    Norm ffn_norm;
};

struct Weights {
    Table words, positions, types;
    Norm embedding_norm;
    Linear project;  // in == 0: none, the embeddings are as wide as the layers
    std::vector<Layer> layers;
    Linear head_dense, head_output;
    std::size_t bytes = 0;
};

}  // namespace crossrank
