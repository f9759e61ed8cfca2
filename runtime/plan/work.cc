#include "runtime/plan/work.h"

#include <algorithm>
#include <cmath>

#include "runtime/plan/weight_bytes.h"

namespace facet {
namespace {

// Two bytes and two FLOPs per weight.
constexpr double kFlopsPerByte = 1.0;

// Weights of all layers with `experts` of the experts in each.
double BodyBytes(const ModelConfig& model, double experts) {
  double bytes = static_cast<double>(StageWeightBytes(model));
  for (int i = 0; i < model.num_layers(); ++i) {
    LayerSlice slice = WholeLayer(model, i);
    slice.experts = 0;
    const int64_t without = LayerWeightBytes(model, i, slice);
    slice.experts = 1;
    const int64_t with_one = LayerWeightBytes(model, i, slice);
    bytes += without + experts * (with_one - without);
  }
  return bytes;
}

double HeadBytes(const ModelConfig& model) {
  return static_cast<double>(HeadWeightBytes(model, model.vocab_size));
}

// Keys seen by all queries at the positions [0, tokens) of a layer.
double KeysSeen(const ModelConfig& model, const LayerConfig& layer,
                int64_t tokens) {
  const auto n = static_cast<double>(tokens);
  if (layer.kind == LayerKind::kGlobal) return n * (n + 1) / 2;
  const double window = std::min<int64_t>(model.sliding_window, tokens);
  return window * (window + 1) / 2 + (n - window) * window;
}

// Scores and weighted sums of all queries at the positions [0, tokens).
double AttentionFlops(const ModelConfig& model, int64_t tokens) {
  double flops = 0;
  for (const LayerConfig& layer : model.layers) {
    flops += 4.0 * model.query_heads * layer.head_dim *
             KeysSeen(model, layer, tokens);
  }
  return flops;
}

// Positions whose keys and values a slice reads in `layer`.
int64_t PositionsRead(const ModelConfig& model, const LayerConfig& layer,
                      const SliceShape& slice) {
  const int64_t end = slice.start + slice.tokens;
  if (layer.kind == LayerKind::kGlobal) return end;
  return std::min<int64_t>(end, model.sliding_window + slice.tokens - 1);
}

}  // namespace

double ExpectedDistinctExperts(const ModelConfig& model, int64_t tokens) {
  if (model.num_experts == 0) return 0;
  const double experts = model.num_experts;
  const double missed_by_one = 1 - model.experts_per_token / experts;
  return experts * (1 - std::pow(missed_by_one, tokens));
}

double DecodeStepWeightBytes(const ModelConfig& model, int64_t tokens) {
  return BodyBytes(model, ExpectedDistinctExperts(model, tokens)) +
         HeadBytes(model);
}

double DecodeFlops(const ModelConfig& model, int64_t position) {
  return kFlopsPerByte *
             (BodyBytes(model, model.experts_per_token) + HeadBytes(model)) +
         AttentionFlops(model, position + 1) - AttentionFlops(model, position);
}

double PrefillFlops(const ModelConfig& model, int64_t tokens) {
  return kFlopsPerByte * (static_cast<double>(tokens) *
                              BodyBytes(model, model.experts_per_token) +
                          HeadBytes(model)) +
         AttentionFlops(model, tokens);
}

StepWork WorkOfStep(const ModelConfig& model,
                    absl::Span<const SliceShape> slices,
                    int kv_bytes_per_element) {
  StepWork work;
  int64_t tokens = 0, head_rows = 0;
  for (const SliceShape& slice : slices) {
    tokens += slice.tokens;
    head_rows += slice.head_rows;
    work.flops += AttentionFlops(model, slice.start + slice.tokens) -
                  AttentionFlops(model, slice.start);
    for (const LayerConfig& layer : model.layers) {
      work.kv_bytes += 2.0 * layer.kv_heads * layer.head_dim *
                       kv_bytes_per_element *
                       PositionsRead(model, layer, slice);
    }
  }
  if (tokens == 0) return work;
  work.weight_bytes = BodyBytes(model, ExpectedDistinctExperts(model, tokens));
  if (head_rows > 0) work.weight_bytes += HeadBytes(model);
  work.flops +=
      kFlopsPerByte *
      (static_cast<double>(tokens) * BodyBytes(model, model.experts_per_token) +
       static_cast<double>(head_rows) * HeadBytes(model));
  return work;
}

}  // namespace facet
