#include "kernels/attention/attention.h"

#include <algorithm>
#include <limits>
#include <vector>

#include "kernels/attention/attention_variants.h"
#include "kernels/base/variants.h"

namespace facet {
namespace {

constexpr AttentionVariant kBestFirst[] = {
    {"avx512", Isa::kAvx512, &AttentionSplitAvx512, &AttentionMergeAvx512,
     &AttentionFinishAvx512},
    {"avx2", Isa::kAvx2, &AttentionSplitAvx2, &AttentionMergeAvx2,
     &AttentionFinishAvx2},
    {"reference", Isa::kReference, &AttentionSplitReference,
     &AttentionMergeReference, &AttentionFinishReference},
};

// With this few tokens the splits of a long context are spread over threads;
// with more there are query rows enough to go round.
constexpr int64_t kFewTokens = 8;

struct Task {
  const AttentionArgs* args;
  AttentionTask task;  // key range of one split, or of all of them
  int64_t state = -1;  // float offset of a kept state; -1: finish at once
};

struct StateStore {
  AttentionState At(int64_t offset, int rows) {
    float* base = floats.data() + offset;
    return {base, base + rows, base + 2 * rows};
  }
  static int64_t Floats(int rows, int head_dim) {
    return static_cast<int64_t>(rows) * (head_dim + 2);
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

// All splits of one row group, one after another.
void RunWhole(const AttentionVariant& variant, const AttentionArgs& args,
              AttentionTask task) {
  static thread_local StateStore store;
  const int rows = task.tokens * task.heads;
  const int64_t floats = StateStore::Floats(rows, args.head_dim);
  if (static_cast<int64_t>(store.floats.size()) < 2 * floats) {
    store.floats.resize(2 * floats);
  }
  const AttentionState total = store.At(0, rows);
  const AttentionState next = store.At(floats, rows);
  const int64_t end = args.first_position + task.token_begin + task.tokens;
  const int64_t first = FirstSplit(args, task.token_begin);
  for (int64_t split = first; split * kAttentionSplit < end; ++split) {
    task.key_begin = FirstKey(args, task.token_begin, split);
    task.key_end = std::min(end, (split + 1) * kAttentionSplit);
    variant.run_split(args, task, split == first ? total : next);
    if (split > first) variant.merge(rows, args.head_dim, total, next);
  }
  variant.finish(args, task, total);
}

}  // namespace

absl::Span<const AttentionVariant> AttentionVariants() {
  return RunnableVariants(kBestFirst);
}

void AttentionWith(const AttentionVariant& variant, const AttentionArgs& args) {
  ForEachRowGroup(
      args, [&](const AttentionTask& task) { RunWhole(variant, args, task); });
}

void Attention(absl::Span<const AttentionArgs> sequences, ThreadPool& pool) {
  const AttentionVariant& variant = ActiveVariant(kBestFirst);
  static thread_local StateStore kept;
  std::vector<Task> tasks;
  // Row groups whose splits are merged in a second region: [first, last) tasks.
  std::vector<std::pair<size_t, size_t>> merges;
  int64_t floats = 0;
  for (const AttentionArgs& args : sequences) {
    ForEachRowGroup(args, [&](AttentionTask task) {
      const int rows = task.tokens * task.heads;
      const int64_t end = args.first_position + task.token_begin + task.tokens;
      const int64_t first = FirstSplit(args, task.token_begin);
      const int64_t last = (end - 1) / kAttentionSplit;
      if (first == last || args.tokens > kFewTokens ||
          pool.num_threads() == 1) {
        tasks.push_back({&args, task, -1});
        return;
      }
      const size_t before = tasks.size();
      for (int64_t split = first; split <= last; ++split) {
        task.key_begin = FirstKey(args, task.token_begin, split);
        task.key_end = std::min(end, (split + 1) * kAttentionSplit);
        tasks.push_back({&args, task, floats});
        floats += StateStore::Floats(rows, args.head_dim);
      }
      merges.emplace_back(before, tasks.size());
    });
  }
  if (static_cast<int64_t>(kept.floats.size()) < floats) {
    kept.floats.resize(floats);
  }
  StateStore& store = kept;
  const auto state_of = [&](const Task& t) {
    return store.At(t.state, t.task.tokens * t.task.heads);
  };
  pool.ParallelDynamic(tasks.size(), [&](int, int64_t i) {
    const Task& t = tasks[i];
    if (t.state < 0) {
      RunWhole(variant, *t.args, t.task);
    } else {
      variant.run_split(*t.args, t.task, state_of(t));
    }
  });
  if (merges.empty()) return;
  pool.ParallelDynamic(merges.size(), [&](int, int64_t i) {
    const auto [first, last] = merges[i];
    const Task& total = tasks[first];
    for (size_t next = first + 1; next < last; ++next) {
      variant.merge(total.task.tokens * total.task.heads, total.args->head_dim,
                    state_of(total), state_of(tasks[next]));
    }
    variant.finish(*total.args, total.task, state_of(total));
  });
}

}  // namespace facet
