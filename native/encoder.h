// The transformer, on packed tokens.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "model.h"
#include "threads.h"

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
    // The layers run on the kernels `body`; the head, and the embeddings' projection, on `exact`.
    // `memory` is where the weights are, or will be: see load.h.
    Encoder(const Config& config, const TensorMap& tensors, const Kernels& body,
            const Kernels& exact, Archive memory = {});

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
    struct Pooled;
    struct Member;

    void run_group(const Member& me, Pooled& pooled) const;
    void embed(const Member& me, Team::Part mine) const;
    void attend(const Member& me, Sight sight, bool first_only) const;
    void after_attention(const Layer& layer, int rows, Rows x, Values context, Values values,
                         Values wide, void* scratch) const;
    void finish(const Pooled& pooled, int first, int rows, Workspace& work, float* logits) const;
    Rows judge(Rows x, int rows, Workspace& work) const;
    Values values_from(Values values, int first) const;

    Config config_;
    const Kernels& kernels_;
    const Kernels& exact_;
    Weights weights_;
};

}  // namespace crossrank
