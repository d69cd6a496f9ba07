#include "encoder.h"

#include <algorithm>
#include <numeric>
#include <tuple>
#include <utility>

#include "load.h"
#include "threads.h"

namespace crossrank {

// Sequences that go from embedding to logits together, in one thread. About this many tokens
// keep the activations in the second-level cache and reuse each weight often enough.
constexpr int group_tokens = 256;

// From so many tokens on, threads that have no group of their own help with the others' groups.
constexpr int shared_tokens = 128;

struct Encoder::Group {
    std::vector<int> sequences;
    int tokens = 0;
};

// The activations of one group. Strides are an odd number of cache lines, so that the rows of a
// tile do not compete for the same cache sets.
struct Encoder::Workspace {
    Workspace(const Config& c, const Weights& w, const Kernels& k, const Kernels& exact,
              const Group& largest, int longest, int members)
        : value_bytes(k.value_bytes),
          rows(round_up(largest.tokens, k.tile_rows) + k.tile_rows),  // a tile may start anywhere
          embedded(floats(w.words.columns)),
          x(floats(c.hidden)),
          values(k.value_bytes == sizeof(float) && !c.norm_first ? Values{x.data, x.stride}
                                                                 : matrix(c.hidden)),
          context(matrix(c.hidden)),
          wide(matrix(std::max(w.layers[0].qkv.out, w.layers[0].up.out))),
          head{floats(widest(c)), floats(widest(c))} {
        const std::size_t bytes =
            std::max({k.attention_scratch(longest, c.hidden / c.heads),
                      k.dense_scratch(int(rows), std::max(c.hidden, c.intermediate)),
                      exact.dense_scratch(int(rows), widest(c))});
        for (int i = 0; i < members; ++i) scratch.push_back(block(bytes));
    }

    static int widest(const Config& c) {
        int columns = c.hidden;
        for (const HeadStep& step : c.head) columns = std::max(columns, step.out);
        return columns;
    }

    std::byte* block(std::size_t bytes) { return buffers.emplace_back(bytes).data(); }

    Values matrix(std::size_t columns, std::size_t each) {
        const std::size_t line = 64 / each;
        const std::size_t stride = round_up(columns, std::max(line, column_padding)) + line;
        return {block(rows * stride * each), stride};
    }
    Values matrix(std::size_t columns) { return matrix(columns, value_bytes); }
    Rows floats(std::size_t columns) {
        const Values made = matrix(columns, sizeof(float));
        return {static_cast<float*>(made.data), made.stride};
    }

    std::size_t value_bytes, rows;
    std::vector<Block> buffers;
    Rows embedded, x;
    Values values;  // of x, normalised
    Values context, wide;
    Rows head[2];
    std::vector<void*> scratch;  // of each member of the team
};

// A member's view of a group: its rows of each matrix, and what it has for itself.
struct Encoder::Member {
    const Batch& batch;
    const Group& group;
    Workspace& work;
    Team team;
    void* scratch;
};

namespace {

// Around a thread's use of kernels.
class Inside {
public:
    explicit Inside(const Kernels& kernels) : kernels_(kernels) { kernels_.enter(); }
    Inside(const Inside&) = delete;
    Inside& operator=(const Inside&) = delete;
    ~Inside() { kernels_.leave(); }

private:
    const Kernels& kernels_;
};

float* row_of(Rows rows, int i) { return rows.data + i * rows.stride; }

Values as_values(Rows rows) { return {rows.data, rows.stride}; }

Rows rows_from(Rows rows, int first) { return {row_of(rows, first), rows.stride}; }

// The head looks at first tokens only, so the last layer need not go on with the others.
void keep_first_tokens(const Batch& batch, const std::vector<int>& sequences, Rows x) {
    int row = 0, first = 0;
    for (int sequence : sequences) {
        if (row != first) std::copy_n(row_of(x, first), x.stride, row_of(x, row));
        first += batch.length(sequence);
        ++row;
    }
}

// A sequence's mean in place of its tokens, one after the other.
void keep_means(const Kernels& kernels, const Batch& batch, const std::vector<int>& sequences,
               int columns, Rows x) {
    int row = 0, first = 0;
    for (int sequence : sequences) {
        const int length = batch.length(sequence);
        float* mean = row_of(x, row);
        if (row != first) std::copy_n(row_of(x, first), x.stride, mean);
        for (int i = 1; i < length; ++i)
            kernels.add_row(row_of(x, first + i), DType::f32, columns, mean);
        for (int c = 0; c < columns; ++c) mean[c] /= float(length);
        first += length;
        ++row;
    }
}

}  // namespace

Encoder::Encoder(const Config& config, const TensorMap& tensors, const Kernels& body,
                 const Kernels& exact, Archive memory)
    : config_(config),
      kernels_(body),
      exact_(exact),
      weights_(load_weights(config, tensors, body, exact, std::move(memory))) {}

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

    if (int(groups.size()) < threads && largest.tokens >= shared_tokens) {
        const int members = std::min(threads, int(round_up(largest.tokens, kernels_.tile_rows)) /
                                                  kernels_.tile_rows);
        Workspace work(config_, weights_, kernels_, exact_, largest, batch.length(order[0]), members);
        const auto together = [&](int item, Team team) {
            const Inside inside(kernels_);
            run_group({batch, groups[item], work, team, work.scratch[team.member()]}, logits);
        };
        return work_together(int(groups.size()), members, together, poll);
    }
    const auto worker = [&](const Take& take) {
        const Inside inside(kernels_);
        Workspace work(config_, weights_, kernels_, exact_, largest, batch.length(order[0]), 1);
        const Team alone(0, 1, nullptr);
        while (const auto item = take())
            run_group({batch, groups[*item], work, alone, work.scratch[0]}, logits);
    };
    share_work(int(groups.size()), threads, worker, poll);
}

// Each member has rows of its own, from which it only looks up for attention: what it needs of the
// others is there after a meeting.
void Encoder::run_group(const Member& me, float* logits) const {
    const Kernels& k = kernels_;
    Workspace& work = me.work;
    const Activation activation = config_.gated ? Activation::none : config_.activation;
    int rows = me.group.tokens;
    Team::Part mine = me.team.part(rows, k.tile_rows);
    const auto rows_of = [&](Rows matrix) { return rows_from(matrix, mine.first); };
    const auto values_of = [&](Values matrix) { return values_from(matrix, mine.first); };
    const auto count = [&] { return mine.end - mine.first; };
    const auto normalise = [&](const Norm& norm, bool keep) {
        k.layer_norm(rows_of(work.x), count(), config_.hidden, norm.weight, norm.bias,
                     config_.norm_eps, keep ? rows_of(work.x) : Rows{}, values_of(work.values));
    };

    embed(me, mine);
    for (const Layer& layer : weights_.layers) {
        const bool last = &layer == &weights_.layers.back();
        const bool first_only = last && config_.pooling == Pooling::first;
        k.dense(values_of(work.values), count(), layer.qkv.packed(), Activation::none,
                values_of(work.wide), me.scratch);
        me.team.meet();
        attend(me, layer.sight, first_only);
        if (first_only && me.team.first()) keep_first_tokens(me.batch, me.group.sequences, work.x);
        me.team.meet();
        if (first_only) {
            rows = int(me.group.sequences.size());
            mine = me.team.part(rows, k.tile_rows);
        }
        k.dense_add(values_of(work.context), count(), layer.output.packed(), rows_of(work.x),
                    me.scratch);
        normalise(layer.attention_norm, !config_.norm_first);
        k.dense(values_of(work.values), count(), layer.up.packed(), activation,
                values_of(work.wide), me.scratch);
        if (config_.gated)
            k.gate(values_of(work.wide), count(), config_.intermediate, config_.activation);
        k.dense_add(values_of(work.wide), count(), layer.down.packed(), rows_of(work.x),
                    me.scratch);
        normalise(layer.ffn_norm, !config_.norm_first || last);
    }
    me.team.meet();
    if (!me.team.first()) return;
    if (config_.pooling == Pooling::mean) {
        keep_means(k, me.batch, me.group.sequences, config_.hidden, work.x);
        rows = int(me.group.sequences.size());
    }
    const Rows scores = judge(rows, me);
    const int labels = config_.labels();
    for (int i = 0; i < rows; ++i)
        std::copy_n(row_of(scores, i), labels,
                    logits + std::size_t(me.group.sequences[i]) * labels);
}

// work.x and its values, in the member's rows.
void Encoder::embed(const Member& me, Team::Part mine) const {
    const auto add = [&](const Table& table, int row, float* to) {
        kernels_.add_row(table.row(row), table.dtype, int(table.columns), to);
    };
    Workspace& work = me.work;
    const Batch& batch = me.batch;
    const int width = int(weights_.words.columns), count = mine.end - mine.first;
    const bool projected = weights_.project.in > 0;
    const Rows all = projected ? work.embedded : work.x;
    int row = 0;
    for (int sequence : me.group.sequences) {
        int seen = 0;
        for (int t = batch.offsets[sequence]; t < batch.offsets[sequence + 1]; ++t, ++row) {
            // RoBERTa counts past the padding index, and its padding tokens all stay on it.
            const bool padding = config_.position_offset > 0 && batch.ids[t] == config_.pad_id;
            const int position = padding ? config_.pad_id : config_.position_offset + seen;
            seen += !padding;
            if (row < mine.first || row >= mine.end) continue;
            float* to = row_of(all, row);
            std::fill_n(to, all.stride, 0.0f);  // the padding too: a NaN there would spread
            add(weights_.words, batch.ids[t], to);
            if (config_.segments) add(weights_.types, batch.type_ids[t], to);
            if (!config_.rotary()) add(weights_.positions, position, to);
        }
    }
    const Norm& norm = weights_.embedding_norm;
    const Rows sum = rows_from(all, mine.first), x = rows_from(work.x, mine.first);
    const Values values = values_from(work.values, mine.first);
    if (!projected)
        return kernels_.layer_norm(sum, count, width, norm.weight, norm.bias, config_.norm_eps, x,
                                   values);
    exact_.layer_norm(sum, count, width, norm.weight, norm.bias, config_.norm_eps, sum,
                      as_values(sum));
    exact_.dense(as_values(sum), count, weights_.project.packed(), Activation::none, as_values(x),
                 me.scratch);
    kernels_.to_values(x, count, config_.hidden, values);
}

// From q, k, v in work.wide to work.context: a row for each token, or for each first token. The
// members share the heads.
void Encoder::attend(const Member& me, Sight sight, bool first_only) const {
    Workspace& work = me.work;
    const int head_dim = config_.hidden / config_.heads;
    const std::size_t part = round_up(config_.hidden, column_padding);
    const auto at = [&](Values values, int row, std::size_t column) -> void* {
        return static_cast<std::byte*>(values.data) +
               (row * values.stride + column) * kernels_.value_bytes;
    };
    int in = 0, out = 0, item = 0;
    for (int sequence : me.group.sequences) {
        const int length = me.batch.length(sequence);
        const int queries = first_only ? 1 : length;
        for (int head = 0; head < config_.heads; ++head) {
            if (!me.team.mine(item++)) continue;
            const std::size_t column = std::size_t(head) * head_dim;
            const Values q{at(work.wide, in, column), work.wide.stride};
            const Values key{at(work.wide, in, part + column), work.wide.stride};
            if (config_.rotary()) {
                const Rotation rotation = weights_.angles.at(sight.theta).rotation();
                kernels_.rotate(q, queries, 1, head_dim, rotation);
                kernels_.rotate(key, length, 1, head_dim, rotation);
            }
            kernels_.attention({.q = q.data,
                                .k = key.data,
                                .v = at(work.wide, in, 2 * part + column),
                                .stride = work.wide.stride,
                                .out = at(work.context, out, column),
                                .out_stride = work.context.stride,
                                .length = length,
                                .queries = queries,
                                .head_dim = head_dim,
                                .scratch = me.scratch,
                                .window = sight.window});
        }
        in += length;
        out += queries;
    }
}

Values Encoder::values_from(Values values, int first) const {
    return {static_cast<std::byte*>(values.data) + first * values.stride * kernels_.value_bytes,
            values.stride};
}

// The head, on rows of work.x.
Rows Encoder::judge(int rows, const Member& me) const {
    Workspace& work = me.work;
    Rows x = work.x;
    for (std::size_t i = 0; i < config_.head.size(); ++i) {
        const HeadStep& step = config_.head[i];
        const auto& [dense, norm] = weights_.head[i];
        if (step.norm) {
            exact_.layer_norm(x, rows, step.out, norm.weight, norm.bias, step.eps, x,
                              as_values(x));
        } else {
            const Rows y = work.head[x.data == work.head[0].data];  // the other one
            exact_.dense(as_values(x), rows, dense.packed(), step.activation, as_values(y),
                         me.scratch);
            x = y;
        }
    }
    return x;
}

}  // namespace crossrank
