#include "rpc/cli/bench/long_context.h"

#include <algorithm>
#include <chrono>
#include <memory>
#include <utility>

#include "kernels/attention/attention.h"
#include "kernels/base/status_macros.h"
#include "kernels/base/thread_pool.h"
#include "runtime/kv_cache/kv_cache.h"

namespace facet {
namespace {

// Decoded tokens of a repetition.
constexpr int kTokens = 8;

template <typename T>
void FillPages(const LayerPages& to, int page_tokens, int64_t pages,
               ThreadPool& pool) {
  const int64_t count = int64_t{to.kv_heads} * page_tokens * to.head_dim;
  pool.ParallelFor(pages, 1, [&](int64_t begin, int64_t end) {
    for (int64_t page = begin; page < end; ++page) {
      uint32_t state = static_cast<uint32_t>(page) + 1;
      for (void* base : {to.k, to.v}) {
        T* at = static_cast<T*>(base) + page * to.page_stride;
        for (int64_t i = 0; i < count; ++i) {
          state = state * 1664525 + 1013904223;
          const float x = static_cast<float>(state >> 8) * 0x1p-25f - 0.25f;
          if constexpr (sizeof(T) == sizeof(float)) {
            at[i] = x;
          } else {
            at[i] = ToBF16(x);
          }
        }
      }
    }
  });
}

SequenceSlice OneToken(int64_t position, int64_t first_sliding_page,
                       const KvPoolSizes& pools) {
  SequenceSlice slice;
  slice.sequence = {1};
  slice.start = position;
  slice.tokens = {0};
  slice.begins.emplace().prompt_tokens = position + 1;
  slice.sliding_first_page = first_sliding_page;
  for (int page = 0; page < pools.sliding_pages; ++page) {
    slice.new_sliding_pages.push_back({page});
  }
  for (int page = 0; page < pools.global_pages; ++page) {
    slice.new_global_pages.push_back({page});
  }
  return slice;
}

}  // namespace

absl::StatusOr<LongContextRuns> MeasureLongContext(
    const ModelConfig& model, const LongContextOptions& options,
    const std::function<LimitSample()>& sample) {
  FACET_ASSIGN_OR_RETURN(const ShardPlan plan, ShardPlan::Create(model, {}));
  const int64_t position = options.context;
  const int64_t first_sliding_page =
      std::max<int64_t>(0, position - model.sliding_window + 1) /
      options.page_tokens;
  const int64_t end_page = position / options.page_tokens + 1;
  KvPoolSizes pools;
  pools.page_tokens = options.page_tokens;
  for (const LayerConfig& layer : model.layers) {
    if (layer.kind == LayerKind::kSliding) {
      pools.sliding_pages = static_cast<int32_t>(end_page - first_sliding_page);
    } else {
      pools.global_pages = static_cast<int32_t>(end_page);
    }
  }
  FACET_ASSIGN_OR_RETURN(
      const std::unique_ptr<KvCache> cache,
      KvCache::Create(model, plan, /*rank=*/0, pools, options.format));
  StepPlan step;
  step.slices.push_back(OneToken(position, first_sliding_page, pools));
  FACET_RETURN_IF_ERROR(cache->Apply(step));

  ThreadPool pool(options.threads);
  LongContextRuns runs;
  runs.context = options.context;
  std::vector<float> q, y;
  std::vector<AttentionArgs> layers;
  for (int i = 0; i < model.num_layers(); ++i) {
    const LayerConfig& layer = model.layers[i];
    const bool sliding = layer.kind == LayerKind::kSliding;
    const LayerPages& pages = cache->layer(i);
    if (model.owns_kv(i)) {
      const int64_t count = sliding ? pools.sliding_pages : pools.global_pages;
      if (options.format == KvFormat::kF32) {
        FillPages<float>(pages, options.page_tokens, count, pool);
      } else {
        FillPages<BF16>(pages, options.page_tokens, count, pool);
      }
    }
    const SequencePageTable& table = cache->table({1}, layer.kind);
    AttentionArgs args;
    args.tokens = 1;
    args.first_position = position;
    args.query_heads = model.query_heads;
    args.kv_heads = pages.kv_heads;
    args.heads_per_kv = model.query_heads / layer.kv_heads;
    args.head_dim = layer.head_dim;
    args.window = sliding ? model.sliding_window : 0;
    args.q_stride = args.y_stride = int64_t{args.query_heads} * args.head_dim;
    args.k = pages.k;
    args.v = pages.v;
    args.kv_dtype = cache->dtype();
    args.page_tokens = options.page_tokens;
    args.page_stride = pages.page_stride;
    args.pages = table.pages.data();
    args.first_page = table.first_page;
    layers.push_back(args);
    q.resize(std::max<size_t>(q.size(), args.q_stride), 0.01f);
    const int64_t keys =
        sliding ? std::min<int64_t>(position + 1, model.sliding_window)
                : position + 1;
    runs.kv_bytes += 2 * keys * pages.kv_heads * pages.head_dim *
                     static_cast<int64_t>(SizeOf(cache->dtype()));
  }
  y.resize(q.size());
  const auto decode = [&] {
    for (AttentionArgs& args : layers) {
      args.q = q.data();
      args.y = y.data();
      Attention(absl::MakeConstSpan(&args, 1), pool);
    }
  };
  decode();
  if (sample) runs.limits.push_back(sample());
  for (int i = 0; i < options.repeat; ++i) {
    const auto start = std::chrono::steady_clock::now();
    for (int token = 0; token < kTokens; ++token) decode();
    const std::chrono::duration<double> took =
        std::chrono::steady_clock::now() - start;
    runs.attention_s.push_back(took.count() / kTokens);
    if (sample) runs.limits.push_back(sample());
  }
  return runs;
}

}  // namespace facet
