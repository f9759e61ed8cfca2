// The Gemma 4 text model on one rank: the forward pass of one step through this
// rank's layers, heads, columns and experts. Named after the checkpoint's
// modules; every operation is a backend's.
#ifndef FACET_RUNTIME_MODEL_MODEL_H_
#define FACET_RUNTIME_MODEL_MODEL_H_

#include <atomic>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "kernels/backend/backend.h"
#include "kernels/backend/device.h"
#include "kernels/sampling/sampling.h"
#include "runtime/comm/communicator.h"
#include "runtime/config/model_config.h"
#include "runtime/kv_cache/kv_cache.h"
#include "runtime/model/weights.h"
#include "runtime/plan/numerics.h"
#include "runtime/plan/shard_plan.h"
#include "runtime/plan/step_plan.h"

namespace facet {

// Sees intermediate results as they arise; for tests of every layer.
class ForwardObserver {
 public:
  virtual ~ForwardObserver() = default;
  // f32 [tokens, hidden]: the input of `layer`; after the last layer of a rank
  // called once more with layer + 1.
  virtual void OnHidden(int layer, absl::Span<const float> hidden) = 0;
  // probabilities [tokens, experts]; chosen and weights [tokens, K].
  virtual void OnRouting(int layer, absl::Span<const float> probabilities,
                         absl::Span<const int32_t> chosen,
                         absl::Span<const float> weights) = 0;
};

// One rank's forward pass. One thread calls.
class Model {
 public:
  // All arguments outlive the model. `world` spans all ranks of the plan, `tp`
  // those of this stage, and both take the memory of the backend; `observer`
  // may be null.
  Model(const ModelConfig* config, const ShardPlan* plan, int rank,
        NumericsOptions numerics, const Weights* weights, KvCache* kv_cache,
        Communicator* world, Communicator* tp, Backend* backend,
        ForwardObserver* observer);
  ~Model();

  // On a backend of `device`, before anything else: takes memory for steps of
  // up to `tokens`.
  //
  // Errors: RESOURCE_EXHAUSTED.
  absl::Status ReserveOn(Device* device, int64_t tokens);
  // How many bytes that takes on one rank.
  static int64_t WorkspaceBytes(const ModelConfig& config,
                                const ShardPlan& plan, int rank,
                                int64_t tokens);

  // Runs the step's tokens through this stage: takes their embeddings, or the
  // previous stage's output, and leaves this stage's output in hidden(), or
  // sends it on. KvCache::Apply() has run.
  //
  // Errors: those of the communicators.
  absl::Status Forward(const StepPlan& plan);

  // Logits of the given rows of the step over this rank's vocabulary, softcap
  // applied, in the host's memory: out is [rows, vocab of the rank]. After
  // Forward() on the last stage.
  //
  // Errors: those of the backend.
  absl::Status Logits(absl::Span<const int64_t> rows, absl::Span<float> out);

  // The `count` best of each of these rows, as TopLogits() gives them, tokens
  // counted in the whole vocabulary, while the rows stay where they are. For
  // devices, whose memory is far.
  //
  // REQUIRES: on_device(), 0 < count <= kMostDeviceTop.
  absl::StatusOr<std::vector<std::vector<TokenLogit>>> TopLogits(
      absl::Span<const int64_t> rows, int count);
  bool on_device() const { return on_device_; }

  // The layer whose operations are being asked for, or -1. From any thread, as
  // is marks(), which grows with each block.
  int layer() const { return layer_.load(std::memory_order_relaxed); }
  uint64_t marks() const { return marks_.load(std::memory_order_relaxed); }

  // Whether inputs of products are rounded to bf16. In a model with experts
  // that may turn a near tie of its router: only where the user prefers speed.
  static bool RoundsInputs(const ModelConfig& config,
                           const NumericsOptions& numerics) {
    return numerics.activations == Activations::kBF16 &&
           (numerics.fast || config.num_experts == 0);
  }
  // Rows of logits that a device computes at once.
  static constexpr int64_t kDeviceLogitRows = 64;

 private:
  struct Workspace;

  absl::Status Observe(int layer);
  void Mark(int layer);
  absl::Status LogitsOf(absl::Span<const int64_t> rows, float* out);
  void PrepareStep(const StepPlan& plan);
  absl::Status EmbedOrReceive();
  void PerLayerInputs();
  // Each block finds its normed input in the workspace, adds to the residual
  // stream, and leaves the next block's normed input.
  absl::Status AttentionBlock(int layer, const LayerWeights& w);
  absl::Status FeedForwardBlock(int layer, const LayerWeights& w);
  void PerLayerBlock(int layer, const LayerWeights& w);
  // gelu(normed @ gate) * (normed @ up), and the router's scores beside; as one
  // product where the two lie alike in the file, else as two.
  int GateProducts(const LayerWeights& w, MatmulArgs out[3]) const;
  MatmulArgs PerLayerGate(const LayerWeights& w) const;
  static bool GatesArePaired(const LayerWeights& w);
  absl::Status Route(int layer, const LayerWeights& w);
  void RunExperts(const LayerWeights& w, const MatmulArgs& beside,
                  absl::Span<const MatmulArgs> next, float* out);
  // y = (residual + rms(x) * weight) * output_scale, over the hidden size.
  RmsNormArgs Norm(const float* x, const WeightVector& weight, float* y) const;
  // The first products of a layer; returns how many. Where they are only to be
  // fetched ahead, their rows may be anything.
  int QkvProducts(int layer, const LayerWeights& w, MatmulArgs out[3]) const;
  // What comes after `layer`: the next one's first products, or the head.
  int ProductsAfter(int layer, MatmulArgs out[3]) const;
  // What the next layer of this stage reads; nothing after the last.
  void AddNextInput(int layer);
  absl::Status AllReduce(absl::Span<float> values);

  const ModelConfig& config_;
  const ShardPlan& plan_;
  const RankShard& shard_;
  // Whether inputs of matrix products are rounded to bf16. Never where experts
  // are chosen: rounding upstream of a router turns near ties, and a wrong
  // expert costs more than the speed brings.
  const bool round_inputs_;
  const Weights& weights_;
  KvCache& kv_cache_;
  Communicator& world_;
  Communicator& tp_;
  Backend& backend_;
  ForwardObserver* const observer_;
  // Parts of a row-parallel product that fall on this rank.
  const int local_segments_;
  const float router_scale_;  // H^(-1/2)
  std::unique_ptr<Workspace> ws_;
  bool on_device_ = false;
  std::atomic<int> layer_{-1};
  std::atomic<uint64_t> marks_{0};
};

}  // namespace facet

#endif  // FACET_RUNTIME_MODEL_MODEL_H_
