// Per-layer embeddings: what every layer of E2B and E4B adds for its token ids.
#include <cmath>

#include "runtime/model/workspace.h"

namespace facet {

// ple = (rms((x0 @ Wᵀ) * H^(-1/2)) + Ep[id] * sqrt(P)) * 2^(-1/2), the columns
// of this stage's layers.
void Model::PerLayerInputs() {
  Workspace& ws = *ws_;
  const int64_t hidden = config_.hidden_size;
  const int64_t width = config_.per_layer_width;
  const int64_t columns = shard_.layers.size() * width;
  const float* x0 = shard_.stage == 0 ? ws.x.data() : ws.first_embedding.data();
  float* context = ws.per_layer.Get(ws.rows * columns);
  const MatmulArgs product = Product(x0, ws.rows, weights_.per_layer_projection,
                                     context, 1, round_inputs_);
  backend_.Matmuls("per layer: context", absl::MakeConstSpan(&product, 1));

  EmbeddingArgs gather;
  gather.rows = ws.embedding_rows;
  gather.table = weights_.per_layer_embedding.data;
  gather.dtype = weights_.per_layer_embedding.dtype;
  gather.table_stride = weights_.per_layer_embedding.stride;
  gather.column = shard_.layers.begin * width;
  gather.width = columns;
  gather.scale = std::sqrt(static_cast<float>(width));
  gather.y = ws.gate.Get(ws.rows * columns);
  gather.y_stride = columns;
  backend_.Embedding("per layer: embedding", gather);

  backend_.Scale("per layer: context",
                 absl::MakeSpan(context, ws.rows * columns),
                 1.0f / std::sqrt(static_cast<float>(hidden)));
  RmsNormArgs norm;
  norm.rows = ws.rows * shard_.layers.size();
  norm.width = width;
  norm.x = context;
  norm.x_stride = width;
  norm.weight = weights_.per_layer_projection_norm.data();
  norm.epsilon = config_.rms_norm_eps;
  norm.residual = gather.y;
  norm.output_scale = std::sqrt(0.5f);
  norm.y = context;
  norm.y_stride = width;
  backend_.RmsNorms("per layer: context", absl::MakeConstSpan(&norm, 1));
}

MatmulArgs Model::PerLayerGate(const LayerWeights& w) const {
  Workspace& ws = *ws_;
  return Product(ws.x.data(), ws.rows, w.per_layer.gate,
                 ws.per_layer_gate.Get(ws.rows * config_.per_layer_width), 1,
                 round_inputs_);
}

// x = (x + rms((gelu(x @ gateᵀ) * ple) @ projectionᵀ)) * layer_scalar
void Model::PerLayerBlock(int layer, const LayerWeights& w) {
  Workspace& ws = *ws_;
  const int64_t rows = ws.rows;
  const int64_t hidden = config_.hidden_size;
  const int64_t width = config_.per_layer_width;
  float* x = ws.x.data();
  const MatmulArgs first = PerLayerGate(w);
  float* gate = first.y;
  float* sum = ws.sums.Get(2 * rows * hidden);
  const MatmulArgs second =
      Product(gate, rows, w.per_layer.projection, sum, 1, round_inputs_);
  backend_.FetchAhead(absl::MakeConstSpan(&second, 1));
  backend_.Matmuls("per layer: gate", absl::MakeConstSpan(&first, 1));
  GatedGeluArgs gelu;
  gelu.rows = rows;
  gelu.width = width;
  gelu.gate = gelu.y = gate;
  gelu.gate_stride = gelu.y_stride = width;
  gelu.up = ws.per_layer.data() + (layer - shard_.layers.begin) * width;
  gelu.up_stride = shard_.layers.size() * width;
  backend_.GatedGelu("per layer: gelu", gelu);
  MatmulArgs next[3];
  backend_.FetchAhead(absl::MakeConstSpan(next, ProductsAfter(layer, next)));
  backend_.Matmuls("per layer: projection", absl::MakeConstSpan(&second, 1));
  ws.norms.assign(1, Norm(sum, w.per_layer.post_norm, x));
  ws.norms[0].residual = x;
  ws.norms[0].output_scale = w.layer_scalar;
  AddNextInput(layer);
  backend_.RmsNorms("norms", ws.norms);
}

}  // namespace facet
