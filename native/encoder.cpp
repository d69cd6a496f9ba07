#include "encoder.h"

#include <algorithm>
#include <numeric>
#include <tuple>

#include "load.h"
#include "threads.h"

namespace crossrank {

// Sequences that go from embedding to logits together, in one thread. About this many tokens
// keep the activations in the second-level cache and reuse each weight often enough.
constexpr int group_tokens = 256;

struct Encoder::Group {
    std::vector<int> sequences;
    int tokens = 0;
};

// The activations of one group. Strides are an odd number of cache lines, so that the rows of a
// tile do not compete for the same cache sets.
struct Encoder::Workspace {
    Workspace(const Config& c, const Weights& w, const Kernels& k, const Group& largest,
              int longest)
        : rows(round_up(largest.tokens, k.tile_rows) + k.tile_rows),  // a tile may start anywhere
          x(matrix(c.hidden)),
          y(matrix(std::max<std::size_t>(c.hidden, w.words.columns))),
          context(matrix(c.hidden)),
          wide(matrix(std::max<std::size_t>(w.layers[0].qkv.out, c.intermediate))),
          logits(matrix(c.labels)),
          scratch(buffers.emplace_back(k.attention_scratch(longest, c.hidden / c.heads)).data()) {}

    Rows matrix(std::size_t columns) {
        const std::size_t stride = round_up(columns, column_padding) + 16;
        return {buffers.emplace_back(rows * stride).data(), stride};
    }

    std::size_t rows;
    std::vector<Floats> buffers;
    Rows x, y, context, wide, logits;
    float* scratch;
};

namespace {

float* row_of(Rows rows, int i) { return rows.data + i * rows.stride; }

// The head looks at first tokens only, so the last layer need not go on with the others.
int keep_first_tokens(const Batch& batch, const std::vector<int>& sequences, Rows x) {
    int row = 0, first = 0;
    for (int sequence : sequences) {
        if (row != first) std::copy_n(row_of(x, first), x.stride, row_of(x, row));
        first += batch.length(sequence);
        ++row;
    }
    return row;
}

}  // namespace

Encoder::Encoder(const Config& config, const TensorMap& tensors, const Kernels& kernels)
    : config_(config), kernels_(kernels), weights_(load_weights(config, tensors, kernels)) {}

void Encoder::run(const Batch& batch, int threads, const std::function<void()>& poll,
                  float* logits) const {
    if (batch.sequences() == 0) return;
    std::vector<int> order(batch.sequences());
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(),
                     [&](int a, int b) { return batch.length(a) > batch.length(b); });

    // Whole rounds of groups, so that no thread is left with one more than the others.
    const int tokens = int(batch.ids.size());
    const int wanted = (tokens + group_tokens - 1) / group_tokens;
    const int workers = std::min(threads, batch.sequences());
    const int target = tokens / int(round_up(wanted, workers));
    std::vector<Group> groups;
    for (int i : order) {
        const int length = batch.length(i);
        if (groups.empty() || groups.back().tokens + length / 2 > target) groups.emplace_back();
        groups.back().sequences.push_back(i);
        groups.back().tokens += length;
    }
    const Group& largest = *std::max_element(
        groups.begin(), groups.end(),
        [](const Group& a, const Group& b) { return a.tokens < b.tokens; });

    const auto worker = [&](const Take& take) {
        Workspace work(config_, weights_, kernels_, largest, batch.length(order[0]));
        while (const auto item = take()) run_group(batch, groups[*item], work, logits);
    };
    share_work(int(groups.size()), threads, worker, poll);
}

void Encoder::run_group(const Batch& batch, const Group& group, Workspace& work,
                        float* logits) const {
    constexpr Rows no_residual{nullptr, 0};
    const Kernels& k = kernels_;
    const auto [x, y, context, wide] = std::tuple(work.x, work.y, work.context, work.wide);
    int rows = group.tokens;

    embed(batch, group, work);
    for (const Layer& layer : weights_.layers) {
        k.linear(x, rows, layer.qkv.panels(), Activation::none, no_residual, wide);
        const bool last = &layer == &weights_.layers.back();
        attend(batch, group, last, work);
        if (last) rows = keep_first_tokens(batch, group.sequences, x);
        k.linear(context, rows, layer.output.panels(), Activation::none, x, y);
        normalise(layer.attention_norm, rows, config_.hidden, y, x);
        k.linear(x, rows, layer.up.panels(), config_.activation, no_residual, wide);
        k.linear(wide, rows, layer.down.panels(), Activation::none, x, y);
        normalise(layer.ffn_norm, rows, config_.hidden, y, x);
    }
    k.linear(x, rows, weights_.head_dense.panels(), config_.head_activation, no_residual, y);
    k.linear(y, rows, weights_.head_output.panels(), Activation::none, no_residual, work.logits);
    for (int i = 0; i < rows; ++i)
        std::copy_n(row_of(work.logits, i), config_.labels,
                    logits + std::size_t(group.sequences[i]) * config_.labels);
}

void Encoder::embed(const Batch& batch, const Group& group, Workspace& work) const {
    const auto add = [&](const Table& table, int row, float* to) {
        kernels_.add_row(table.row(row), table.dtype, int(table.columns), to);
    };
    const int width = int(weights_.words.columns);
    int row = 0;
    for (int sequence : group.sequences) {
        int seen = 0;
        for (int t = batch.offsets[sequence]; t < batch.offsets[sequence + 1]; ++t, ++row) {
            float* to = row_of(work.y, row);
            std::fill_n(to, width, 0.0f);
            add(weights_.words, batch.ids[t], to);
            add(weights_.types, batch.type_ids[t], to);
            // RoBERTa counts past the padding index, and its padding tokens all stay on it.
            const bool padding = config_.position_offset > 0 && batch.ids[t] == config_.pad_id;
            add(weights_.positions, padding ? config_.pad_id : config_.position_offset + seen, to);
            seen += !padding;
        }
    }
    const bool projected = weights_.project.in > 0;
    normalise(weights_.embedding_norm, row, width, work.y, projected ? work.y : work.x);
    if (projected)
        kernels_.linear(work.y, row, weights_.project.panels(), Activation::none, {nullptr, 0},
                        work.x);
}

// From q, k, v in work.wide to work.context: a row for each token, or for each first token.
void Encoder::attend(const Batch& batch, const Group& group, bool first_only,
                     Workspace& work) const {
    const int head_dim = config_.hidden / config_.heads;
    const std::size_t part = round_up(config_.hidden, column_padding);
    int in = 0, out = 0;
    for (int sequence : group.sequences) {
        const int length = batch.length(sequence);
        const int queries = first_only ? 1 : length;
        for (int head = 0; head < config_.heads; ++head) {
            const float* q = row_of(work.wide, in) + head * head_dim;
            kernels_.attention({.q = q,
                                .k = q + part,
                                .v = q + 2 * part,
                                .stride = work.wide.stride,
                                .out = row_of(work.context, out) + head * head_dim,
                                .out_stride = work.context.stride,
                                .length = length,
                                .queries = queries,
                                .head_dim = head_dim,
                                .scratch = work.scratch});
        }
        in += length;
        out += queries;
    }
}

void Encoder::normalise(const Norm& norm, int rows, int n, Rows from, Rows to) const {
    kernels_.layer_norm(from, rows, n, norm.weight.data(), norm.bias.data(), config_.norm_eps, to);
}

}  // namespace crossrank
