// Buffers of one rank's forward pass. The host's grow to the largest step seen;
// a device's are reserved for the largest there is. Private to this folder.
#ifndef FACET_RUNTIME_MODEL_WORKSPACE_H_
#define FACET_RUNTIME_MODEL_WORKSPACE_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/backend/device.h"
#include "kernels/base/check.h"
#include "kernels/base/status_macros.h"
#include "kernels/matmul/matmul.h"
#include "kernels/rms_norm/rms_norm.h"
#include "runtime/model/model.h"

namespace facet {

// Memory whose old contents don't matter when it grows, and that is not touched
// before it is used.
class Buffer {
 public:
  // REQUIRES: on a device, count was reserved.
  float* Get(int64_t count) {
    if (count > capacity_) {
      FACET_CHECK(device_.data() == nullptr);
      host_.reset();
      host_.reset(new float[count]);
      capacity_ = count;
    }
    return data();
  }
  int32_t* GetInts(int64_t count) {
    static_assert(sizeof(int32_t) == sizeof(float));
    return reinterpret_cast<int32_t*>(Get(count));
  }
  float* data() const {
    return device_.data() != nullptr ? static_cast<float*>(device_.data())
                                     : host_.get();
  }
  absl::Status ReserveOn(Device* device, int64_t count) {
    FACET_ASSIGN_OR_RETURN(
        device_,
        DeviceMemory::Allocate(device, count * sizeof(float), "activations"));
    capacity_ = count;
    return absl::OkStatus();
  }

 private:
  std::unique_ptr<float[]> host_;
  DeviceMemory device_;
  int64_t capacity_ = 0;
};

// A slice and where its tokens lie among those of the step.
struct StepSlice {
  const SequenceSlice* slice;
  int64_t first_row;
};

// One rotary table of the step.
struct RopeTables {
  std::vector<float> frequencies;
  Buffer cos;
  Buffer sin;
};

struct Model::Workspace {
  // Of the step.
  std::vector<StepSlice> slices;
  std::vector<int32_t> embedding_rows;  // [rows]
  std::vector<int64_t> positions;
  std::vector<int64_t> sliding_slots, global_slots;  // [rows]
  int64_t rows = 0;
  RopeTables sliding_rope, global_rope;
  // Of the stage: whether it owns keys and values of each kind.
  bool owns_sliding = false, owns_global = false;

  Buffer x;                        // [rows, hidden]: the residual stream
  Buffer normed;                   // [rows, hidden]: what the next block reads
  std::vector<RmsNormArgs> norms;  // the chain being put together
  Buffer q, k, v, attention;
  Buffer sums;             // [2, rows, hidden]: what is summed over ranks
  Buffer gate, up;         // [rows, columns]
  Buffer per_layer;        // [rows, layers of the stage, P]
  Buffer per_layer_gate;   // [rows, P]
  Buffer first_embedding;  // [rows, hidden], where layer 0 is elsewhere

  // Experts.
  Buffer router_input, expert_input;  // [rows, hidden]
  Buffer router_logits, probabilities, expert_weights;
  Buffer chosen;  // of int32_t

  Buffer final_rows;  // [rows, hidden]
  Buffer logits;      // [rows, vocab of the rank], on a device
};

// Floats of the buffers of a rank for steps of some size.
struct WorkspaceSizes {
  int64_t hidden = 0, queries = 0, keys = 0, columns = 0;
  int64_t per_layer = 0, per_layer_gate = 0, first_embedding = 0;
  int64_t expert_hidden = 0, router = 0, choices = 0;
  int64_t final_rows = 0, logits = 0, rotations = 0;
};
WorkspaceSizes WorkspaceSizesOf(const ModelConfig& config,
                                const ShardPlan& plan, int rank,
                                int64_t tokens);

// A product with one weight matrix, cut into `segments` along k.
MatmulArgs Product(const float* x, int64_t rows, const WeightMatrix& w,
                   float* y, int segments, bool bf16_inputs);

}  // namespace facet

#endif  // FACET_RUNTIME_MODEL_WORKSPACE_H_
