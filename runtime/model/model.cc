#include "runtime/model/model.h"

#include <cmath>

#include "kernels/base/status_macros.h"
#include "kernels/rope/rope.h"
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
             Backend* backend, ForwardObserver* observer)
    : config_(*config),
      plan_(*plan),
      shard_(plan->shard(rank)),
      round_inputs_(RoundsInputs(*config, numerics)),
      weights_(*weights),
      kv_cache_(*kv_cache),
      world_(*world),
      tp_(*tp),
      backend_(*backend),
      observer_(observer),
      local_segments_(plan->virtual_shards() / plan->tp_size()),
      router_scale_(1.0f / std::sqrt(static_cast<float>(config->hidden_size))),
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
  for (int64_t i = shard_.layers.begin; i < shard_.layers.end; ++i) {
    const int layer = static_cast<int>(i);
    if (!config_.owns_kv(layer)) continue;
    (config_.layers[i].kind == LayerKind::kSliding ? ws_->owns_sliding
                                                   : ws_->owns_global) = true;
  }
}

Model::~Model() = default;

// Tells the observer of the residual stream, if there is one.
absl::Status Model::Observe(int layer) {
  if (observer_ == nullptr) return absl::OkStatus();
  std::vector<float> hidden(ws_->rows * config_.hidden_size);
  FACET_RETURN_IF_ERROR(
      backend_.Read(ws_->x.data(), 4 * hidden.size(), hidden.data()));
  observer_->OnHidden(layer, hidden);
  return absl::OkStatus();
}

void Model::Mark(int layer) {
  layer_.store(layer, std::memory_order_relaxed);
  marks_.fetch_add(1, std::memory_order_relaxed);
}

absl::Status Model::AllReduce(absl::Span<float> values) {
  if (tp_.size() == 1) return absl::OkStatus();
  return tp_.AllReduceSum(values);
}

RmsNormArgs Model::Norm(const float* x, const WeightVector& weight,
                        float* y) const {
  RmsNormArgs norm;
  norm.rows = ws_->rows;
  norm.width = config_.hidden_size;
  norm.x = x;
  norm.x_stride = config_.hidden_size;
  norm.weight = weight.data();
  norm.epsilon = config_.rms_norm_eps;
  norm.y = y;
  norm.y_stride = config_.hidden_size;
  return norm;
}

void Model::AddNextInput(int layer) {
  if (layer + 1 >= shard_.layers.end) return;
  const LayerWeights& next = weights_.layers[layer + 1 - shard_.layers.begin];
  ws_->norms.push_back(
      Norm(ws_->x.data(), next.input_norm, ws_->normed.data()));
}

void Model::PrepareStep(const StepPlan& plan) {
  Workspace& ws = *ws_;
  ws.slices.clear();
  ws.embedding_rows.clear();
  ws.positions.clear();
  ws.sliding_slots.clear();
  ws.global_slots.clear();
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
    if (ws.owns_sliding) {
      kv_cache_.AppendSlots(slice, LayerKind::kSliding, ws.sliding_slots);
    }
    if (ws.owns_global) {
      kv_cache_.AppendSlots(slice, LayerKind::kGlobal, ws.global_slots);
    }
  }
  ws.rows = static_cast<int64_t>(ws.embedding_rows.size());
  for (RopeTables* tables : {&ws.sliding_rope, &ws.global_rope}) {
    const int64_t size = ws.rows * tables->frequencies.size();
    backend_.RopeTable("rotation table", ws.positions, tables->frequencies,
                       tables->cos.Get(size), tables->sin.Get(size));
  }
}

absl::Status Model::Forward(const StepPlan& plan) {
  Workspace& ws = *ws_;
  backend_.BeginStep();
  PrepareStep(plan);
  if (ws.rows == 0) return absl::OkStatus();
  FACET_RETURN_IF_ERROR(EmbedOrReceive());
  if (config_.per_layer_width > 0) PerLayerInputs();

  const int64_t count = ws.rows * config_.hidden_size;
  const RmsNormArgs first =
      Norm(ws.x.data(), weights_.layers[0].input_norm, ws.normed.Get(count));
  backend_.RmsNorms("norms", absl::MakeConstSpan(&first, 1));
  for (int64_t i = shard_.layers.begin; i < shard_.layers.end; ++i) {
    const int layer = static_cast<int>(i);
    const LayerWeights& w = weights_.layers[i - shard_.layers.begin];
    FACET_RETURN_IF_ERROR(Observe(layer));
    Mark(layer);
    FACET_RETURN_IF_ERROR(AttentionBlock(layer, w));
    Mark(layer);
    FACET_RETURN_IF_ERROR(FeedForwardBlock(layer, w));
    if (config_.per_layer_width > 0) PerLayerBlock(layer, w);
  }
  Mark(-1);
  FACET_RETURN_IF_ERROR(Observe(static_cast<int>(shard_.layers.end)));
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
    backend_.Embedding("embedding", args);
  }
  if (first) return absl::OkStatus();
  return world_.Recv(Bytes(x, ws.rows * hidden), shard_.rank - plan_.tp_size());
}

absl::Status Model::Logits(absl::Span<const int64_t> rows,
                           absl::Span<float> out) {
  if (!on_device_) return LogitsOf(rows, out.data());
  const int64_t vocab = weights_.head.rows;
  float* logits = ws_->logits.data();
  for (size_t at = 0; at < rows.size(); at += kDeviceLogitRows) {
    const absl::Span<const int64_t> some = rows.subspan(at, kDeviceLogitRows);
    FACET_RETURN_IF_ERROR(LogitsOf(some, logits));
    FACET_RETURN_IF_ERROR(backend_.Read(
        logits, some.size() * vocab * sizeof(float), out.data() + at * vocab));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::vector<TokenLogit>>> Model::TopLogits(
    absl::Span<const int64_t> rows, int count) {
  const int64_t vocab = weights_.head.rows;
  const auto first = static_cast<int32_t>(shard_.vocab.begin);
  float* logits = ws_->logits.data();
  std::vector<std::vector<TokenLogit>> best;
  for (size_t at = 0; at < rows.size(); at += kDeviceLogitRows) {
    const absl::Span<const int64_t> some = rows.subspan(at, kDeviceLogitRows);
    FACET_RETURN_IF_ERROR(LogitsOf(some, logits));
    std::vector<TokenLogit> top(some.size() * count);
    FACET_RETURN_IF_ERROR(backend_.TopLogits(
        "head: best logits", static_cast<int64_t>(some.size()), vocab, logits,
        count, absl::MakeSpan(top)));
    for (size_t row = 0; row < some.size(); ++row) {
      std::vector<TokenLogit>& list = best.emplace_back();
      for (int i = 0; i < count && top[row * count + i].token >= 0; ++i) {
        const TokenLogit& one = top[row * count + i];
        list.push_back({first + one.token, one.logit});
      }
    }
  }
  return best;
}

absl::Status Model::LogitsOf(absl::Span<const int64_t> rows, float* out) {
  Workspace& ws = *ws_;
  const int64_t hidden = config_.hidden_size;
  const int64_t count = static_cast<int64_t>(rows.size());
  float* x = ws.final_rows.Get(count * hidden);
  backend_.GatherRows("head: norm", rows, hidden, ws.x.data(), x);
  RmsNormArgs norm = Norm(x, weights_.final_norm, x);
  norm.rows = count;
  backend_.RmsNorms("head: norm", absl::MakeConstSpan(&norm, 1));
  const MatmulArgs product =
      Product(x, count, weights_.head, out, 1, /*bf16_inputs=*/false);
  backend_.Matmuls("head: logits", absl::MakeConstSpan(&product, 1));
  if (config_.final_logit_softcapping > 0) {
    backend_.Softcap("head: softcap",
                     absl::MakeSpan(out, count * weights_.head.rows),
                     config_.final_logit_softcapping);
  }
  return absl::OkStatus();
}

}  // namespace facet
