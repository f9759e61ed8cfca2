#include "runtime/plan/weight_bytes.h"

namespace facet {
namespace {

constexpr int64_t kBytesPerWeight = 2;  // bf16

}  // namespace

LayerSlice WholeLayer(const ModelConfig& model, int layer) {
  return {model.query_heads, model.layers[layer].kv_heads,
          model.layers[layer].intermediate_size, model.num_experts};
}

int64_t LayerWeightBytes(const ModelConfig& model, int layer,
                         const LayerSlice& slice) {
  const LayerConfig& config = model.layers[layer];
  const int64_t hidden = model.hidden_size;
  const int64_t head_dim = config.head_dim;

  int64_t weights = 4 * hidden + 1;                      // norms, scalar
  weights += 2 * slice.query_heads * head_dim * hidden;  // q_proj, o_proj
  weights += head_dim;                                   // q_norm
  if (model.owns_kv(layer)) {
    const int64_t projections = config.k_eq_v ? 1 : 2;
    weights += projections * slice.kv_heads * head_dim * hidden;
    weights += head_dim;  // k_norm
  }
  weights += 3 * slice.mlp_columns * hidden;  // gate, up, down
  if (model.num_experts > 0) {
    weights += 3 * hidden;                                 // norms
    weights += model.num_experts * (hidden + 1) + hidden;  // router
    weights += 3 * slice.experts * model.expert_width * hidden;
  }
  if (model.per_layer_width > 0) {
    // Gate, projection, this layer's rows of the model projection; the norm.
    weights += 3 * model.per_layer_width * hidden + hidden;
  }
  return kBytesPerWeight * weights;
}

int64_t StageWeightBytes(const ModelConfig& model) {
  return kBytesPerWeight * model.per_layer_width;
}

int64_t HeadWeightBytes(const ModelConfig& model, int64_t vocab_rows) {
  return kBytesPerWeight * model.hidden_size * (vocab_rows + 1);
}

}  // namespace facet
