#include "scheduler/simulate/step_cost.h"

#include <algorithm>
#include <cmath>

#include "kernels/base/check.h"
#include "runtime/plan/shard_plan.h"
#include "runtime/plan/weight_bytes.h"
#include "runtime/plan/work.h"

namespace facet {
namespace {

// Keys that the queries at [start, start + count) see, each with a window of
// `window` keys.
double KeysSeen(int64_t start, int64_t count, int64_t window) {
  // Queries below `growing` see all before them, the others a whole window.
  const int64_t growing = std::clamp<int64_t>(window - start, 0, count);
  return static_cast<double>(growing) *
             (static_cast<double>(start) +
              (static_cast<double>(growing) + 1) / 2) +
         static_cast<double>(count - growing) * static_cast<double>(window);
}

}  // namespace

ModelFigures FiguresOf(const ModelConfig& model, int kv_element_bytes) {
  ModelFigures figures;
  figures.weight_bytes = DecodeStepWeightBytes(model, 0);
  figures.experts = model.num_experts;
  figures.experts_per_token = model.experts_per_token;
  if (model.num_experts > 0) {
    figures.expert_bytes =
        (DecodeStepWeightBytes(model, 1) - figures.weight_bytes) /
        model.experts_per_token;
  }
  for (const LayerConfig& layer : model.layers) {
    (layer.kind == LayerKind::kSliding ? figures.sliding_key_flops
                                       : figures.global_key_flops) +=
        4.0 * model.query_heads * layer.head_dim;
  }
  figures.head_flops =
      static_cast<double>(HeadWeightBytes(model, model.vocab_size));
  figures.token_flops = DecodeFlops(model, 0) - figures.head_flops -
                        figures.sliding_key_flops - figures.global_key_flops;
  const absl::StatusOr<ShardPlan> whole = ShardPlan::Create(model, {});
  FACET_CHECK(whole.ok());  // one rank holds any model
  figures.sliding_token_bytes = static_cast<double>(
      whole->KvBytesPerToken(model, 0, LayerKind::kSliding, kv_element_bytes));
  figures.global_token_bytes = static_cast<double>(
      whole->KvBytesPerToken(model, 0, LayerKind::kGlobal, kv_element_bytes));
  figures.sliding_window = model.sliding_window;
  figures.vocab_size = model.vocab_size;
  figures.max_positions = model.max_position_embeddings;
  return figures;
}

double StageSeconds(const StepPlan& plan, const ModelFigures& model,
                    const MachineFigures& machine, int stages) {
  if (plan.slices.empty()) return 0;  // tables are dropped, nothing computed
  double tokens = 0;
  double kv_bytes = 0;
  double flops = 0;
  for (const SequenceSlice& slice : plan.slices) {
    const auto count = static_cast<int64_t>(slice.tokens.size());
    const int64_t end = slice.start + count;
    tokens += static_cast<double>(count);
    kv_bytes += static_cast<double>(end) * model.global_token_bytes +
                static_cast<double>(
                    std::min<int64_t>(end, model.sliding_window + count - 1)) *
                    model.sliding_token_bytes;
    flops += static_cast<double>(count) * model.token_flops +
             KeysSeen(slice.start, count, end) * model.global_key_flops +
             KeysSeen(slice.start, count, model.sliding_window) *
                 model.sliding_key_flops;
    if (slice.logits == LogitsWanted::kAll || slice.prompt_logprobs >= 0) {
      flops += static_cast<double>(count) * model.head_flops;
    } else if (slice.sample || slice.logits == LogitsWanted::kLast) {
      flops += model.head_flops;
    }
  }
  double bytes = model.weight_bytes + kv_bytes;
  if (model.experts > 0) {
    const double missed =
        std::pow(1.0 - static_cast<double>(model.experts_per_token) /
                           static_cast<double>(model.experts),
                 tokens);
    bytes += model.expert_bytes * model.experts * (1 - missed);
  }
  return machine.step_s +
         static_cast<double>(plan.slices.size()) * machine.slice_s +
         std::max(bytes / machine.bytes_per_s, flops / machine.flops_per_s) /
             stages;
}

}  // namespace facet
