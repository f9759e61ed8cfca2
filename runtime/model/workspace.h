// Buffers of one rank's forward pass; they grow to the largest step seen.
// Private to this folder.
#ifndef FACET_RUNTIME_MODEL_WORKSPACE_H_
#define FACET_RUNTIME_MODEL_WORKSPACE_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/matmul/matmul.h"
#include "kernels/rms_norm/rms_norm.h"
#include "runtime/model/model.h"

namespace facet {

// Floats whose old contents don't matter when it grows, and that are not
// touched before they are used.
class Buffer {
 public:
  float* Get(int64_t count) {
    if (count > capacity_) {
      data_.reset();
      data_.reset(new float[count]);
      capacity_ = count;
    }
    return data_.get();
  }
  float* data() const { return data_.get(); }

 private:
  std::unique_ptr<float[]> data_;
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
  std::vector<int32_t> chosen;

  Buffer final_rows;  // [rows, hidden]
};

// A product with one weight matrix, cut into `segments` along k.
MatmulArgs Product(const float* x, int64_t rows, const WeightMatrix& w,
                   float* y, int segments, bool bf16_inputs);

}  // namespace facet

#endif  // FACET_RUNTIME_MODEL_WORKSPACE_H_
