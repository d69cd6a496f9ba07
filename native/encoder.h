// The transformer, on packed tokens.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "model.h"

namespace crossrank {

// Sequence i is tokens offsets[i] to offsets[i + 1].
struct Batch {
    std::span<const std::int32_t> ids;
    std::span<const std::int32_t> type_ids;
    std::span<const std::int32_t> offsets;

    int sequences() const { return int(offsets.size()) - 1; }
    int length(int i) const { return offsets[i + 1] - offsets[i]; }
};

class Encoder {
public:
    Encoder(const Config& config, const TensorMap& tensors, const Kernels& kernels);

    const Config& config() const { return config_; }
    const Weights& weights() const { return weights_; }
    const Kernels& kernels() const { return kernels_; }

    // Writes [sequences, labels] logits. The batch must be valid. A sequence's logits have the
    // same bits whatever else is in the batch. poll is called now and then by the calling
    // thread; what it throws ends the run.
    void run(const Batch& batch, int threads, const std::function<void()>& poll,
             float* logits) const;

private:
    struct Group;
    struct Workspace;

    void run_group(const Batch& batch, const Group& group, Workspace& work, float* logits) const;
    void embed(const Batch& batch, const Group& group, Workspace& work) const;
    void attend(const Batch& batch, const Group& group, bool first_only, Workspace& work) const;
    void normalise(const Norm& norm, int rows, int n, Rows from, Rows to) const;

    Config config_;
    const Kernels& kernels_;
    Weights weights_;
};

}  // namespace crossrank
