#include "encoder.h"

#include <algorithm>
#include <cstring>
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
constexpr int shared_tokens = 384;

struct Encoder::Group {
    std::vector<int> sequences;
    int tokens = 0;
};

namespace {

// Matrices of so many rows. Strides are an odd number of cache lines, so that the rows of a tile do
// not compete for the same cache sets.
struct Room {
    Room(const Kernels& k, int count)
        : value_bytes(k.value_bytes),
          rows(round_up(count, k.tile_rows) + k.tile_rows) {}  // a tile may start anywhere

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
};

}  // namespace

// The activations of one group.
struct Encoder::Workspace : Room {
    Workspace(const Config& c, const Weights& w, const Kernels& k, const Kernels& exact,
              int tokens, int longest, int members)
        : Room(k, tokens),
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

    Rows embedded, x;
    Values values;  // of x, normalised
    Values context, wide;
    Rows head[2];
    std::vector<void*> scratch;  // of each member of the team
};

// Of each sequence the one row that goes on: of x and, before the last layer's end, its context.
struct Encoder::Pooled : Room {
    Pooled(const Config& c, const Kernels& k, int sequences)
        : Room(k, sequences), x(floats(c.hidden)), context(matrix(c.hidden)) {}

    Rows x;
    Values context;
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

// The mean of so many rows of x.
void mean(const Kernels& kernels, Rows x, int first, int count, int columns, float* to) {
    std::copy_n(row_of(x, first), columns, to);
    for (int i = 1; i < count; ++i) kernels.add_row(row_of(x, first + i), DType::f32, columns, to);
    for (int c = 0; c < columns; ++c) to[c] /= float(count);
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

    // Whole rounds of groups, so that no thread is left with one more than the others, and as even
    // as they come: the longest sequence left goes to the smallest group.
    const auto smaller = [](const Group& a, const Group& b) { return a.tokens < b.tokens; };
    const std::size_t wanted = (batch.ids.size() + group_tokens - 1) / group_tokens;
    const int workers = std::min(threads, batch.sequences());
    std::vector<Group> groups(std::min<std::size_t>(round_up(wanted, workers), batch.sequences()));
    for (int i : order) {
        Group& group = *std::min_element(groups.begin(), groups.end(), smaller);
        group.sequences.push_back(i);
        group.tokens += batch.length(i);
    }
    const Group& largest = *std::max_element(groups.begin(), groups.end(), smaller);

    const int longest = batch.length(order[0]);
    Pooled pooled(config_, kernels_, batch.sequences());
    if (int(groups.size()) < threads && largest.tokens >= shared_tokens) {
        const int tiles = int(round_up(largest.tokens, kernels_.tile_rows)) / kernels_.tile_rows;
        const int members = std::min(threads, tiles);
        Workspace work(config_, weights_, kernels_, exact_, largest.tokens, longest, members);
        const auto together = [&](int item, Team team) {
            const Inside inside(kernels_);
            run_group({batch, groups[item], work, team, work.scratch[team.member()]}, pooled);
        };
        work_together(int(groups.size()), members, together, poll);
    } else {
        const auto worker = [&](const Take& take) {
            const Inside inside(kernels_);
            Workspace work(config_, weights_, kernels_, exact_, largest.tokens, longest, 1);
            const Team alone(0, 1, nullptr);
            while (const auto item = take())
                run_group({batch, groups[*item], work, alone, work.scratch[0]}, pooled);
        };
        share_work(int(groups.size()), threads, worker, poll);
    }

    // What follows is one row a sequence: all of them together read each weight once.
    const int rows = batch.sequences();
    const int parts = std::min(threads, (rows + kernels_.tile_rows - 1) / kernels_.tile_rows);
    const int each = int(round_up((rows + parts - 1) / parts, kernels_.tile_rows));
    const auto finisher = [&](const Take& take) {
        const Inside inside(kernels_);
        Workspace work(config_, weights_, kernels_, exact_, each, 1, 1);
        while (const auto item = take()) {
            const int first = *item * each, count = std::min(each, rows - first);
            finish(pooled, first, count, work, logits + std::size_t(first) * config_.labels());
        }
    };
    share_work((rows + each - 1) / each, threads, finisher, poll);
}

// From embeddings to a row for each sequence. Each member has rows of its own, from which it only
// looks up for attention: what it needs of the others is there after a meeting.
void Encoder::run_group(const Member& me, Pooled& pooled) const {
    const Kernels& k = kernels_;
    Workspace& work = me.work;
    const Team::Part mine = me.team.part(me.group.tokens, k.tile_rows);
    const int rows = mine.end - mine.first;
    const Rows x = rows_from(work.x, mine.first);
    const Values values = values_from(work.values, mine.first);
    const Values wide = values_from(work.wide, mine.first);

    embed(me, mine);
    for (const Layer& layer : weights_.layers) {
        const bool last = &layer == &weights_.layers.back();
        const bool first_only = last && config_.pooling == Pooling::first;
        k.dense(values, rows, layer.qkv.packed(), Activation::none, wide, me.scratch);
        me.team.meet();
        attend(me, layer.sight, first_only);
        me.team.meet();
        if (first_only) break;  // the other tokens go no further
        after_attention(layer, rows, x, values_from(work.context, mine.first), values, wide,
                        me.scratch);
    }
    me.team.meet();
    if (!me.team.first()) return;
    int row = 0, first = 0;
    for (int sequence : me.group.sequences) {
        float* to = row_of(pooled.x, sequence);
        const int length = me.batch.length(sequence);
        if (config_.pooling == Pooling::mean) {
            mean(k, work.x, first, length, config_.hidden, to);
        } else {
            std::copy_n(row_of(work.x, first), config_.hidden, to);
            std::memcpy(values_from(pooled.context, sequence).data,
                        values_from(work.context, row).data, config_.hidden * k.value_bytes);
        }
        first += length;
        ++row;
    }
}

// The rest of a layer, row by row: context is what attention made, the others are x's values and
// room for the feed-forward network.
void Encoder::after_attention(const Layer& layer, int rows, Rows x, Values context, Values values,
                              Values wide, void* scratch) const {
    const Kernels& k = kernels_;
    const Activation activation = config_.gated ? Activation::none : config_.activation;
    const bool last = &layer == &weights_.layers.back();
    const auto normalise = [&](const Norm& norm, bool keep) {
        k.layer_norm(x, rows, config_.hidden, norm.weight, norm.bias, config_.norm_eps,
                     keep ? x : Rows{}, values);
    };
    k.dense_add(context, rows, layer.output.packed(), x, scratch);
    normalise(layer.attention_norm, !config_.norm_first);
    k.dense(values, rows, layer.up.packed(), activation, wide, scratch);
    if (config_.gated) k.gate(wide, rows, config_.intermediate, config_.activation);
    k.dense_add(wide, rows, layer.down.packed(), x, scratch);
    normalise(layer.ffn_norm, !config_.norm_first || last);
}

// From so many pooled rows to logits.
void Encoder::finish(const Pooled& pooled, int first, int rows, Workspace& work,
                     float* logits) const {
    const Rows x = work.x;
    for (int i = 0; i < rows; ++i)
        std::copy_n(row_of(pooled.x, first + i), config_.hidden, row_of(x, i));
    if (config_.pooling == Pooling::first)
        after_attention(weights_.layers.back(), rows, x, values_from(pooled.context, first),
                        work.values, work.wide, work.scratch[0]);
    const Rows scores = judge(x, rows, work);
    const int labels = config_.labels();
    for (int i = 0; i < rows; ++i)
        std::copy_n(row_of(scores, i), labels, logits + std::size_t(i) * labels);
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
    const std::size_t words_bytes = weights_.words.columns * size_of(weights_.words.dtype);
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
            if (t + 4 < batch.offsets.back())  // rows of words lie far apart
                for (std::size_t line = 0; line < words_bytes; line += 64)
                    __builtin_prefetch(static_cast<const char*>(weights_.words.row(batch.ids[t + 4])) + line);
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

// The head.
Rows Encoder::judge(Rows x, int rows, Workspace& work) const {
    for (std::size_t i = 0; i < config_.head.size(); ++i) {
        const HeadStep& step = config_.head[i];
        const auto& [dense, norm] = weights_.head[i];
        if (step.norm) {
            exact_.layer_norm(x, rows, step.out, norm.weight, norm.bias, step.eps, x,
                              as_values(x));
        } else {
            const Rows y = work.head[x.data == work.head[0].data];  // the other one
            exact_.dense(as_values(x), rows, dense.packed(), step.activation, as_values(y),
                         work.scratch[0]);
            x = y;
        }
    }
    return x;
}

}  // namespace crossrank
