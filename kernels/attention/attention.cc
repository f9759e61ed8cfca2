#include "kernels/attention/attention.h"

#include <algorithm>
#include <limits>
#include <vector>

#include "kernels/attention/attention_variants.h"
#include "kernels/base/variants.h"

namespace facet {
namespace {

constexpr AttentionVariant kBestFirst[] = {
    {"avx512", Isa::kAvx512, &AttentionSplitAvx512, &AttentionScoreAvx512,
     &AttentionValuesAvx512, &AttentionMergeAvx512, &AttentionFinishAvx512},
    {"avx2", Isa::kAvx2, &AttentionSplitAvx2, &AttentionScoreAvx2,
     &AttentionValuesAvx2, &AttentionMergeAvx2, &AttentionFinishAvx2},
    {"reference", Isa::kReference, &AttentionSplitReference,
     &AttentionScoreReference, &AttentionValuesReference,
     &AttentionMergeReference, &AttentionFinishReference},
};

// With this few tokens the splits of a long context are spread over threads;
// with more there are query rows enough to go round.
constexpr int64_t kFewTokens = 8;

struct Task {
  const AttentionArgs* args;
  AttentionTask task;  // key range of one split, or of all of them
  int64_t state = -1;  // float offset of a kept state; -1: finish at once
  int64_t work() const {
    return (task.key_end - task.key_begin) * args->head_dim *
           SizeOf(args->kv_dtype);
  }
};

struct StateStore {
  AttentionState At(int64_t offset, int rows) {
    float* base = floats.data() + offset;
    return {base, base + rows, base + 2 * rows};
  }
  static int64_t Floats(int rows, int head_dim) {
    return static_cast<int64_t>(rows) * (head_dim + 2);
  }
  void Reserve(int64_t count) {
    if (static_cast<int64_t>(floats.size()) < count) floats.resize(count);
  }
  std::vector<float> floats;
};

// The splits that hold keys visible to tokens [begin, end) of `args`.
int64_t FirstSplit(const AttentionArgs& args, int64_t begin) {
  const int64_t position = args.first_position + begin;
  const int64_t first =
      args.window > 0 ? std::max<int64_t>(0, position - args.window + 1) : 0;
  return first / kAttentionSplit;
}

// Blocks before the first visible key have no page any more.
int64_t FirstKey(const AttentionArgs& args, int64_t begin, int64_t split) {
  const int64_t position = args.first_position + begin;
  const int64_t first =
      args.window > 0 ? std::max<int64_t>(0, position - args.window + 1) : 0;
  return std::max(split * kAttentionSplit,
                  first / kAttentionBlock * kAttentionBlock);
}

// Calls emit(task) for every (KV head, group of rows) of `args`.
template <typename Emit>
void ForEachRowGroup(const AttentionArgs& args, Emit emit) {
  for (int head = 0; head < args.query_heads;) {
    const int kv_head = (head + args.query_head_offset) / args.heads_per_kv -
                        args.query_head_offset / args.heads_per_kv;
    int heads = 1;
    while (head + heads < args.query_heads &&
           (head + heads + args.query_head_offset) / args.heads_per_kv -
                   args.query_head_offset / args.heads_per_kv ==
               kv_head &&
           heads < kAttentionMaxRows) {
      ++heads;
    }
    const int step = std::max(1, kAttentionMaxRows / heads);
    for (int64_t token = 0; token < args.tokens; token += step) {
      AttentionTask task;
      task.kv_head = kv_head;
      task.first_head = head;
      task.heads = heads;
      task.token_begin = token;
      task.tokens =
          static_cast<int>(std::min<int64_t>(step, args.tokens - token));
      emit(task);
    }
    head += heads;
  }
}

// One split in the two steps, a panel and `columns` at a time.
void RunInSteps(const AttentionVariant& variant, const AttentionArgs& args,
                const AttentionTask& task, int columns, float* scores,
                const AttentionState& state) {
  AttentionTask panel = task;
  for (; panel.key_begin < task.key_end; panel.key_begin = panel.key_end) {
    panel.key_end =
        std::min(task.key_end,
                 (panel.key_begin / kAttentionPanel + 1) * kAttentionPanel);
    variant.score(args, panel, scores);
  }
  for (int begin = 0; begin < args.head_dim; begin += columns) {
    variant.add_values(args, task, scores, begin,
                       std::min(args.head_dim, begin + columns), state);
  }
}

// All splits of one row group, one after another; `columns` as AttentionWith().
void RunWhole(const AttentionVariant& variant, const AttentionArgs& args,
              AttentionTask task, int columns) {
  static thread_local StateStore store;
  const int rows = task.tokens * task.heads;
  const int64_t floats = StateStore::Floats(rows, args.head_dim);
  store.Reserve(2 * floats + (columns > 0 ? AttentionScoreFloats(rows) : 0));
  const AttentionState total = store.At(0, rows);
  const AttentionState next = store.At(floats, rows);
  const int64_t end = args.first_position + task.token_begin + task.tokens;
  const int64_t first = FirstSplit(args, task.token_begin);
  for (int64_t split = first; split * kAttentionSplit < end; ++split) {
    task.key_begin = FirstKey(args, task.token_begin, split);
    task.key_end = std::min(end, (split + 1) * kAttentionSplit);
    const AttentionState& state = split == first ? total : next;
    if (columns > 0) {
      RunInSteps(variant, args, task, columns, store.floats.data() + 2 * floats,
                 state);
    } else {
      variant.run_split(args, task, state);
    }
    if (split > first) variant.merge(rows, args.head_dim, total, next);
  }
  variant.finish(args, task, total);
}

// One part of a split that threads share: scores of a panel of keys, or columns
// of o.
struct Part {
  const Task* split;
  int64_t scores;  // float offset of the split's
  int64_t begin;
  int64_t end;
};

// Whether threads that take splits one by one would be out of step for long:
// the slowest then has an eighth more to do than its share.
bool OutOfStep(absl::Span<const Task> splits, int threads) {
  std::vector<int64_t> loads(threads);
  int64_t sum = 0;
  for (const Task& split : splits) {
    *std::min_element(loads.begin(), loads.end()) += split.work();
    sum += split.work();
  }
  return *std::max_element(loads.begin(), loads.end()) * threads * 8 > sum * 9;
}

// The scores of all splits panel by panel, then o by columns.
void RunInParts(const AttentionVariant& variant, absl::Span<const Task> splits,
                StateStore& store, int64_t scores, ThreadPool& pool) {
  std::vector<Part> panels, columns;
  for (const Task& split : splits) {
    const AttentionTask& task = split.task;
    for (int64_t key = task.key_begin; key < task.key_end;) {
      const int64_t end =
          std::min(task.key_end, (key / kAttentionPanel + 1) * kAttentionPanel);
      panels.push_back({&split, scores, key, end});
      key = end;
    }
    // As many runs of whole cache lines as there are threads.
    const int64_t dim = split.args->head_dim;
    const int64_t step =
        (dim + 32 * pool.num_threads() - 1) / (32 * pool.num_threads()) * 32;
    for (int64_t begin = 0; begin < dim; begin += step) {
      columns.push_back({&split, scores, begin, std::min(dim, begin + step)});
    }
    scores += AttentionScoreFloats(task.tokens * task.heads);
  }
  pool.ParallelDynamic(panels.size(), [&](int, int64_t i) {
    const Part& part = panels[i];
    AttentionTask task = part.split->task;
    task.key_begin = part.begin;
    task.key_end = part.end;
    variant.score(*part.split->args, task, store.floats.data() + part.scores);
  });
  pool.ParallelDynamic(columns.size(), [&](int, int64_t i) {
    const Part& part = columns[i];
    const AttentionTask& task = part.split->task;
    variant.add_values(*part.split->args, task,
                       store.floats.data() + part.scores,
                       static_cast<int>(part.begin), static_cast<int>(part.end),
                       store.At(part.split->state, task.tokens * task.heads));
  });
}

}  // namespace

absl::Span<const AttentionVariant> AttentionVariants() {
  return RunnableVariants(kBestFirst);
}

void AttentionWith(const AttentionVariant& variant, const AttentionArgs& args,
                   int columns) {
  ForEachRowGroup(args, [&](const AttentionTask& task) {
    RunWhole(variant, args, task, columns);
  });
}

void Attention(absl::Span<const AttentionArgs> sequences, ThreadPool& pool) {
  const AttentionVariant& variant = ActiveVariant(kBestFirst);
  static thread_local StateStore kept;
  // Row groups as a whole, and splits of others.
  std::vector<Task> tasks, splits;
  // Of each row group in splits: [first, last).
  std::vector<std::pair<size_t, size_t>> merges;
  int64_t floats = 0, scores = 0;
  for (const AttentionArgs& args : sequences) {
    ForEachRowGroup(args, [&](AttentionTask task) {
      if (args.tokens > kFewTokens || pool.num_threads() == 1) {
        tasks.push_back({&args, task, -1});
        return;
      }
      const int rows = task.tokens * task.heads;
      const int64_t end = args.first_position + task.token_begin + task.tokens;
      const int64_t last = (end - 1) / kAttentionSplit;
      const size_t before = splits.size();
      for (int64_t split = FirstSplit(args, task.token_begin); split <= last;
           ++split) {
        task.key_begin = FirstKey(args, task.token_begin, split);
        task.key_end = std::min(end, (split + 1) * kAttentionSplit);
        splits.push_back({&args, task, floats});
        floats += StateStore::Floats(rows, args.head_dim);
        scores += AttentionScoreFloats(rows);
      }
      merges.emplace_back(before, splits.size());
    });
  }
  // Beside whole row groups there is enough to do for everyone.
  const bool in_parts = tasks.empty() && OutOfStep(splits, pool.num_threads());
  StateStore& store = kept;
  store.Reserve(floats + (in_parts ? scores : 0));
  const auto state_of = [&](const Task& t) {
    return store.At(t.state, t.task.tokens * t.task.heads);
  };
  if (in_parts) {
    RunInParts(variant, splits, store, floats, pool);
  } else {
    const auto wholes = static_cast<int64_t>(tasks.size());
    pool.ParallelDynamic(
        wholes + static_cast<int64_t>(splits.size()), [&](int, int64_t i) {
          if (i < wholes) {
            RunWhole(variant, *tasks[i].args, tasks[i].task, 0);
          } else {
            const Task& t = splits[i - wholes];
            variant.run_split(*t.args, t.task, state_of(t));
          }
        });
  }
  if (merges.empty()) return;
  pool.ParallelDynamic(merges.size(), [&](int, int64_t i) {
    const auto [first, last] = merges[i];
    const Task& total = splits[first];
    for (size_t next = first + 1; next < last; ++next) {
      variant.merge(total.task.tokens * total.task.heads, total.args->head_dim,
                    state_of(total), state_of(splits[next]));
    }
    variant.finish(*total.args, total.task, state_of(total));
  });
}

}  // namespace facet
