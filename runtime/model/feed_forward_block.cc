// x += rms(the dense MLP), or of it and the experts beside it.
#include "kernels/base/status_macros.h"
#include "runtime/model/workspace.h"

namespace facet {

absl::Status Model::FeedForwardBlock(int layer, const LayerWeights& w) {
  Workspace& ws = *ws_;
  const int64_t rows = ws.rows;
  const int64_t hidden = config_.hidden_size;
  const bool has_experts = config_.num_experts > 0;
  float* x = ws.x.data();
  float* dense = ws.sums.Get(2 * rows * hidden);
  float* experts = dense + rows * hidden;

  MatmulArgs gates[3];
  const int count = GateProducts(w, gates);
  const MatmulArgs down = Product(ws.gate.data(), rows, w.down, dense,
                                  local_segments_, round_inputs_);
  backend_.FetchAhead(absl::MakeConstSpan(&down, 1));
  backend_.Matmuls("mlp: gate, up", absl::MakeConstSpan(gates, count));
  if (!GatesArePaired(w)) {
    GatedGeluArgs gelu;
    gelu.rows = rows;
    gelu.width = gelu.gate_stride = gelu.up_stride = gelu.y_stride =
        w.gate.rows;
    gelu.gate = gelu.y = ws.gate.data();
    gelu.up = ws.up.data();
    backend_.GatedGelu("mlp: gelu", gelu);
  }

  MatmulArgs next[3];
  int after_count = 0;
  if (config_.per_layer_width > 0) {
    next[after_count++] = PerLayerGate(w);
  } else {
    after_count = ProductsAfter(layer, next);
  }
  const absl::Span<const MatmulArgs> after(next, after_count);
  if (has_experts) {
    FACET_RETURN_IF_ERROR(Route(layer, w));
    RunExperts(w, down, after, experts);
  } else {
    backend_.FetchAhead(after);
    backend_.Matmuls("mlp: down", absl::MakeConstSpan(&down, 1));
  }
  // Both sums travel in one message.
  FACET_RETURN_IF_ERROR(
      AllReduce(absl::MakeSpan(dense, (has_experts ? 2 : 1) * rows * hidden)));

  ws.norms.clear();
  if (has_experts) {
    ws.norms.push_back(Norm(dense, w.experts.post_norm_1, dense));
    ws.norms.push_back(Norm(experts, w.experts.post_norm_2, dense));
    ws.norms.back().residual = dense;
  }
  ws.norms.push_back(Norm(dense, w.post_ff_norm, x));
  ws.norms.back().residual = x;
  if (config_.per_layer_width == 0) {
    ws.norms.back().output_scale = w.layer_scalar;
    AddNextInput(layer);
  }
  backend_.RmsNorms("norms", ws.norms);
  return absl::OkStatus();
}

bool Model::GatesArePaired(const LayerWeights& w) {
  return w.gate.dtype == w.up.dtype && w.gate.stride == w.up.stride;
}

int Model::GateProducts(const LayerWeights& w, MatmulArgs out[3]) const {
  Workspace& ws = *ws_;
  const int64_t rows = ws.rows;
  int count = 0;
  const auto product = [&](const WeightMatrix& matrix, Buffer& y) {
    return Product(ws.normed.data(), rows, matrix, y.Get(rows * matrix.rows), 1,
                   round_inputs_);
  };
  out[count++] = product(w.gate, ws.gate);
  if (GatesArePaired(w)) {
    out[0].up = w.up.data;
  } else {
    out[count++] = product(w.up, ws.up);
  }
  if (config_.num_experts > 0) {
    // Inputs stay f32: a near tie decides which expert runs.
    out[count++] =
        Product(ws.router_input.data(), rows, w.experts.router,
                ws.router_logits.Get(rows * config_.num_experts), 1, false);
  }
  return count;
}

absl::Status Model::Route(int layer, const LayerWeights& w) {
  Workspace& ws = *ws_;
  const int64_t rows = ws.rows;
  const int k = config_.experts_per_token;
  RouterArgs router;
  router.tokens = rows;
  router.experts = config_.num_experts;
  router.experts_per_token = k;
  router.logits = ws.router_logits.data();
  router.per_expert_scale = w.experts.per_expert_scale.data();
  router.probabilities = ws.probabilities.Get(rows * config_.num_experts);
  router.chosen = ws.chosen.GetInts(rows * k);
  router.weights = ws.expert_weights.Get(rows * k);
  backend_.Router("experts: router", router);
  if (observer_ == nullptr) return absl::OkStatus();
  std::vector<float> probabilities(rows * config_.num_experts);
  std::vector<int32_t> chosen(rows * k);
  std::vector<float> weights(rows * k);
  FACET_RETURN_IF_ERROR(backend_.Read(
      router.probabilities, 4 * probabilities.size(), probabilities.data()));
  FACET_RETURN_IF_ERROR(
      backend_.Read(router.chosen, 4 * chosen.size(), chosen.data()));
  FACET_RETURN_IF_ERROR(
      backend_.Read(router.weights, 4 * weights.size(), weights.data()));
  observer_->OnRouting(layer, probabilities, chosen, weights);
  return absl::OkStatus();
}

// out[t] = the sum of this rank's experts over the tokens that are its to
// compute; zero for other tokens.
void Model::RunExperts(const LayerWeights& w, const MatmulArgs& beside,
                       absl::Span<const MatmulArgs> next, float* out) {
  Workspace& ws = *ws_;
  const ExpertWeights& e = w.experts;
  ExpertsArgs args;
  args.tokens = ws.rows;
  args.hidden = config_.hidden_size;
  args.width = config_.expert_width;
  args.experts_per_token = config_.experts_per_token;
  args.x = ws.expert_input.data();
  args.chosen = ws.chosen.GetInts(ws.rows * config_.experts_per_token);
  args.weights = ws.expert_weights.data();
  args.first_expert = shard_.experts.begin;
  args.experts = shard_.experts.size();
  args.experts_per_shard = config_.num_experts / plan_.virtual_shards();
  args.replicas = static_cast<int>(shard_.expert_replicas);
  args.replica = static_cast<int>(shard_.expert_replica);
  args.gate_up = e.gate_up.data;
  args.gate_up_dtype = e.gate_up.dtype;
  args.gate_up_stride = e.gate_up.stride;
  args.down = e.down.data;
  args.down_dtype = e.down.dtype;
  args.down_stride = e.down.stride;
  args.bf16_inputs = round_inputs_;
  args.beside = absl::MakeConstSpan(&beside, 1);
  args.next = next;
  args.y = out;
  backend_.Experts("experts, mlp: down", args);
}

}  // namespace facet
