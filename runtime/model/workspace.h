// Buffers of one rank's forward pass; they grow to the largest step seen.
// Private to this folder.
#ifndef FACET_RUNTIME_MODEL_WORKSPACE_H_
#define FACET_RUNTIME_MODEL_WORKSPACE_H_

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "kernels/matmul/matmul.h"
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
  int64_t rows = 0;
  RopeTables sliding_rope, global_rope;

  Buffer x;       // [rows, hidden]: the residual stream
  Buffer normed;  // [rows, hidden]
  Buffer q, k, v, attention;
  Buffer sums;             // [2, rows, hidden]: what is summed over ranks
  Buffer gate, up;         // [rows, columns]
  Buffer per_layer;        // [rows, layers of the stage, P]
  Buffer per_layer_gate;   // [rows, P]
  Buffer first_embedding;  // [rows, hidden], where layer 0 is elsewhere

  // Experts.
  Buffer router_logits, probabilities, expert_weights, expert_input;
  Buffer expert_gate_up, expert_output;
  std::vector<int32_t> chosen;
  // (token, place in `chosen`) of each pair this rank computes, by expert.
  std::vector<int32_t> pair_rows;
  std::vector<float> pair_weights;
  std::vector<int64_t> expert_begin;  // of each local expert, in pairs
  // Pairs of each token: [token_begin[t], token_begin[t + 1]), by expert.
  std::vector<int64_t> token_begin;
  std::vector<std::pair<int32_t, int64_t>> token_pairs;  // expert, pair

  Buffer final_rows;  // [rows, hidden]
};

// A product with one weight matrix, cut into `segments` along k.
MatmulArgs Product(const float* x, int64_t rows, const WeightMatrix& w,
                   float* y, int segments, bool bf16_inputs);

}  // namespace facet

#endif  // FACET_RUNTIME_MODEL_WORKSPACE_H_
