#include "runtime/model/model.h"

#include <cmath>
#include <cstring>

#include "kernels/base/status_macros.h"
#include "kernels/embedding/embedding.h"
#include "kernels/matmul/matmul.h"
#include "kernels/rms_norm/rms_norm.h"
#include "kernels/rope/rope.h"
#include "kernels/softcap/softcap.h"
#include "runtime/model/workspace.h"

namespace facet {
namespace {

absl::Span<uint8_t> Bytes(float* data, int64_t count) {
  return {reinterpret_cast<uint8_t*>(data), count * sizeof(float)};
}

}  // namespace

MatmulArgs Product(const float* x, int64_t rows, const WeightMatrix& w,
                   float* y, int segments, bool bf16_inputs) {
  MatmulArgs args;
  args.m = rows;
  args.n = w.rows;
  args.k = w.cols;
  args.x = x;
  args.x_stride = w.cols;
  args.w = w.data;
  args.w_dtype = w.dtype;
  args.w_stride = w.stride;
  args.segments = segments;
  args.bf16_inputs = bf16_inputs;
  args.y = y;
  args.y_stride = w.rows;
  return args;
}

Model::Model(const ModelConfig* config, const ShardPlan* plan, int rank,
             NumericsOptions numerics, const Weights* weights,
             KvCache* kv_cache, Communicator* world, Communicator* tp,
             ThreadPool* pool, ForwardObserver* observer)
    : config_(*config),
      plan_(*plan),
      shard_(plan->shard(rank)),
      round_inputs_(numerics.activations == Activations::kBF16 &&
                    config->num_experts == 0),
      weights_(*weights),
      kv_cache_(*kv_cache),
      world_(*world),
      tp_(*tp),
      pool_(*pool),
      observer_(observer),
      local_segments_(plan->virtual_shards() / plan->tp_size()),
      ws_(std::make_unique<Workspace>()) {
  // One table per layer kind; all layers of a kind share a head size.
  for (const LayerConfig& layer : config_.layers) {
    const bool sliding = layer.kind == LayerKind::kSliding;
    const RopeConfig& rope =
        sliding ? config_.sliding_rope : config_.global_rope;
    RopeTables& tables = sliding ? ws_->sliding_rope : ws_->global_rope;
    if (tables.frequencies.empty()) {
      tables.frequencies = RopeFrequencies(rope.theta, layer.head_dim,
                                           rope.rotated_pairs, rope.factor);
    }
  }
}

Model::~Model() = default;

absl::Span<const float> Model::hidden() const {
  return {ws_->x.data(), static_cast<size_t>(ws_->rows * config_.hidden_size)};
}

absl::Status Model::AllReduce(absl::Span<float> values) {
  if (tp_.size() == 1) return absl::OkStatus();
  return tp_.AllReduceSum(values);
}

absl::Status Model::Forward(const StepPlan& plan) {
  Workspace& ws = *ws_;
  ws.slices.clear();
  ws.embedding_rows.clear();
  ws.positions.clear();
  for (const SequenceSlice& slice : plan.slices) {
    ws.slices.push_back(
        {&slice, static_cast<int64_t>(ws.embedding_rows.size())});
    for (size_t i = 0; i < slice.tokens.size(); ++i) {
      // Media placeholders have no rows of their own: the pad row stands in.
      const int32_t id = slice.tokens[i];
      const bool media = id == config_.image_token_id ||
                         id == config_.video_token_id ||
                         id == config_.audio_token_id;
      ws.embedding_rows.push_back(media ? config_.pad_token_id : id);
      ws.positions.push_back(slice.start + static_cast<int64_t>(i));
    }
  }
  ws.rows = static_cast<int64_t>(ws.embedding_rows.size());
  if (ws.rows == 0) return absl::OkStatus();

  for (RopeTables* tables : {&ws.sliding_rope, &ws.global_rope}) {
    const int64_t size = ws.rows * tables->frequencies.size();
    RopeTable(ws.positions, tables->frequencies, tables->cos.Get(size),
              tables->sin.Get(size), pool_);
  }
  FACET_RETURN_IF_ERROR(EmbedOrReceive());
  if (config_.per_layer_width > 0) PerLayerInputs();

  const int64_t count = ws.rows * config_.hidden_size;
  for (int64_t i = shard_.layers.begin; i < shard_.layers.end; ++i) {
    const int layer = static_cast<int>(i);
    const LayerWeights& w = weights_.layers[i - shard_.layers.begin];
    if (observer_ != nullptr) observer_->OnHidden(layer, hidden());
    FACET_RETURN_IF_ERROR(AttentionBlock(layer, w));
    FACET_RETURN_IF_ERROR(FeedForwardBlock(layer, w));
    if (config_.per_layer_width > 0) PerLayerBlock(layer, w);
  }
  if (observer_ != nullptr) {
    observer_->OnHidden(static_cast<int>(shard_.layers.end), hidden());
  }
  if (shard_.stage + 1 < plan_.pp_size()) {
    return world_.Send(Bytes(ws.x.data(), count),
                       shard_.rank + plan_.tp_size());
  }
  return absl::OkStatus();
}

// x = E[id] * sqrt(H), or what the previous stage made of it.
absl::Status Model::EmbedOrReceive() {
  Workspace& ws = *ws_;
  const int64_t hidden = config_.hidden_size;
  float* x = ws.x.Get(ws.rows * hidden);
  const bool first = shard_.stage == 0;
  if (first || config_.per_layer_width > 0) {
    EmbeddingArgs args;
    args.rows = ws.embedding_rows;
    args.table = weights_.embedding.data;
    args.dtype = weights_.embedding.dtype;
    args.table_stride = weights_.embedding.stride;
    args.width = hidden;
    args.scale = std::sqrt(static_cast<float>(hidden));
    args.y = first ? x : ws.first_embedding.Get(ws.rows * hidden);
    args.y_stride = hidden;
    Embedding(args, pool_);
  }
  if (first) return absl::OkStatus();
  return world_.Recv(Bytes(x, ws.rows * hidden), shard_.rank - plan_.tp_size());
}

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
  Matmul(absl::MakeConstSpan(&product, 1), pool_);

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
  Embedding(gather, pool_);

  const float shrink = 1.0f / std::sqrt(static_cast<float>(hidden));
  pool_.ParallelFor(ws.rows * columns, 4096, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) context[i] *= shrink;
  });
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
  RmsNorm(norm, pool_);
}

void Model::Logits(absl::Span<const int64_t> rows, absl::Span<float> out) {
  Workspace& ws = *ws_;
  const int64_t hidden = config_.hidden_size;
  const int64_t count = static_cast<int64_t>(rows.size());
  float* x = ws.final_rows.Get(count * hidden);
  for (int64_t i = 0; i < count; ++i) {
    std::memcpy(x + i * hidden, ws.x.data() + rows[i] * hidden,
                hidden * sizeof(float));
  }
  RmsNormArgs norm;
  norm.rows = count;
  norm.width = hidden;
  norm.x = x;
  norm.x_stride = hidden;
  norm.weight = weights_.final_norm.data();
  norm.epsilon = config_.rms_norm_eps;
  norm.y = x;
  norm.y_stride = hidden;
  RmsNorm(norm, pool_);
  const MatmulArgs product =
      Product(x, count, weights_.head, out.data(), 1, /*bf16_inputs=*/false);
  Matmul(absl::MakeConstSpan(&product, 1), pool_);
  if (config_.final_logit_softcapping > 0) {
    SoftcapInPlace(out, config_.final_logit_softcapping, pool_);
  }
}

}  // namespace facet
