// The weights of one rank: views into the mapped checkpoint, cut by the plan.
// Matrices stay where the file has them; only vectors of norms and scales, and
// tensors stored as f16, are copied and widened to f32.
#ifndef FACET_RUNTIME_MODEL_WEIGHTS_H_
#define FACET_RUNTIME_MODEL_WEIGHTS_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "kernels/backend/device.h"
#include "kernels/base/dtype.h"
#include "runtime/checkpoint/checkpoint.h"
#include "runtime/config/model_config.h"
#include "runtime/plan/shard_plan.h"

namespace facet {

// A slice [rows, cols] of a matrix; element (i, j) is at data[i * stride + j].
struct WeightMatrix {
  const void* data = nullptr;
  DType dtype = DType::kBF16;  // or kF32
  int64_t rows = 0;
  int64_t cols = 0;
  int64_t stride = 0;
  std::string name, file;  // for messages

  bool empty() const { return data == nullptr; }
  // Rows [begin, begin + count).
  WeightMatrix Rows(int64_t begin, int64_t count) const;
};

// Norm weights and the like, in f32.
class WeightVector {
 public:
  WeightVector() = default;
  explicit WeightVector(std::vector<float> values)
      : values_(std::move(values)) {}

  // For operations: where the device has it, else the host's.
  const float* data() const {
    return placed_ != nullptr ? placed_ : values_.data();
  }
  const std::vector<float>& values() const { return values_; }
  void PlaceAt(const float* device) { placed_ = device; }

 private:
  std::vector<float> values_;
  const float* placed_ = nullptr;
};

struct ExpertWeights {
  WeightMatrix router;                                // [E, H]
  WeightVector router_scale;                          // [H]
  WeightVector per_expert_scale;                      // [E]
  WeightVector pre_norm_2, post_norm_1, post_norm_2;  // [H]
  // Of this rank's experts, one below another.
  WeightMatrix gate_up;  // [experts, 2 Ie, H], gate rows first
  WeightMatrix down;     // [experts, H, Ie]
};

struct PerLayerWeights {
  WeightMatrix gate;        // [P, H]
  WeightMatrix projection;  // [H, P]
  WeightVector post_norm;   // [H]
};

struct LayerWeights {
  WeightVector input_norm, post_attention_norm;  // [H]
  WeightVector pre_ff_norm, post_ff_norm;        // [H]
  float layer_scalar = 1.0f;
  WeightMatrix q, k, v;  // this rank's heads; k, v empty on sharing layers
  WeightMatrix o;        // [H, heads * D], columns of this rank
  WeightVector q_norm, k_norm;  // [D]
  WeightMatrix gate, up;        // [columns, H]
  WeightMatrix down;            // [H, columns]
  ExpertWeights experts;        // of a mixture-of-experts model
  PerLayerWeights per_layer;    // where the model has per-layer embeddings
};

struct Weights {
  std::unique_ptr<Checkpoint> checkpoint;   // keeps the mapping alive
  std::vector<std::vector<float>> widened;  // f16 tensors

  std::vector<LayerWeights> layers;   // of this rank's stage
  WeightMatrix embedding;             // whole, where rows are gathered
  WeightMatrix head;                  // this rank's rows, on the last stage
  WeightVector final_norm;            // [H], on the last stage
  WeightMatrix per_layer_embedding;   // whole [Vp, L P]; rows are gathered
  WeightMatrix per_layer_projection;  // rows of this stage's layers
  WeightVector per_layer_projection_norm;  // [P]

  // What this rank will read, gathered rows aside.
  std::vector<ByteRange> ranges;

  // Where a device has them.
  std::vector<DeviceMemory> placed;
};

// OK when `checkpoint` has every expected tensor in bf16, f16 or f32 and in
// shape. Others, such as those of vision and audio towers, are let be.
//
// Errors: INVALID_ARGUMENT naming file, tensor, expected and found.
absl::Status CheckTensors(const ModelConfig& model,
                          const Checkpoint& checkpoint);

// Cuts out what `rank` owns. Reads headers and small vectors only.
absl::StatusOr<Weights> SliceWeights(const ModelConfig& model,
                                     const ShardPlan& plan, int rank,
                                     std::unique_ptr<Checkpoint> checkpoint);

// The bytes that PlaceWeights() will take on a device.
int64_t PlacedBytes(const Weights& weights);

// Copies what this rank reads to `device`, matrices without gaps between rows,
// or draws it there where it lies in no file, and lets go of the checkpoint.
// `progress` hears of bytes done and in all.
//
// Errors: those of the device.
absl::Status PlaceWeights(Device* device, const LoadProgress& progress,
                          Weights* weights);

// Draws what this rank reads to the host's memory, where it lies in no file.
absl::Status DrawWeights(int num_threads, const LoadProgress& progress,
                         Weights* weights);

// Reads every weight of this rank; INVALID_ARGUMENT names the tensor that holds
// a NaN or an infinity.
absl::Status CheckFinite(const Weights& weights, int num_threads);

}  // namespace facet

#endif  // FACET_RUNTIME_MODEL_WEIGHTS_H_
