// What a forward pass asks of a device. The model is written once against this;
// a backend runs each operation where its memory is. Contracts, with the orders
// of addition that fix every bit, stand in the operations' own folders.
#ifndef FACET_KERNELS_BACKEND_BACKEND_H_
#define FACET_KERNELS_BACKEND_BACKEND_H_

#include <cstdint>

#include "absl/types/span.h"
#include "kernels/attention/attention.h"
#include "kernels/attention_inputs/attention_inputs.h"
#include "kernels/embedding/embedding.h"
#include "kernels/experts/experts.h"
#include "kernels/gated_gelu/gated_gelu.h"
#include "kernels/matmul/matmul.h"
#include "kernels/rms_norm/rms_norm.h"
#include "kernels/router/router.h"

namespace facet {

// Operations run in the order they are asked for. `use` says what the model
// does with an operation, such as "attention q k v"; profiles go by it. It
// points to a literal.
//
// One thread calls.
class Backend {
 public:
  virtual ~Backend() = default;

  // What the operation after the next one will multiply by: its weights may be
  // fetched to a cache while threads wait for each other. Changes no result.
  virtual void FetchAhead(absl::Span<const MatmulArgs> products) = 0;

  virtual void Embedding(const char* use, const EmbeddingArgs& args) = 0;
  // cos, sin: [positions, frequencies], see kernels/rope.
  virtual void RopeTable(const char* use, absl::Span<const int64_t> positions,
                         absl::Span<const float> frequencies, float* cos,
                         float* sin) = 0;
  // See RmsNormChain().
  virtual void RmsNorms(const char* use,
                        absl::Span<const RmsNormArgs> chain) = 0;
  // Independent of each other.
  virtual void Matmuls(const char* use,
                       absl::Span<const MatmulArgs> problems) = 0;
  virtual void AttentionInputs(const char* use,
                               const AttentionInputsArgs& args) = 0;
  virtual void Attention(const char* use,
                         absl::Span<const AttentionArgs> sequences) = 0;
  virtual void GatedGelu(const char* use, const GatedGeluArgs& args) = 0;
  virtual void Router(const char* use, const RouterArgs& args) = 0;
  virtual void Experts(const char* use, const ExpertsArgs& args) = 0;
  // x[i] *= factor
  virtual void Scale(const char* use, absl::Span<float> x, float factor) = 0;
  // y[i] = x[rows[i]], rows of `width`.
  virtual void GatherRows(const char* use, absl::Span<const int64_t> rows,
                          int64_t width, const float* x, float* y) = 0;
  // See kernels/softcap.
  virtual void Softcap(const char* use, absl::Span<float> x, float cap) = 0;
};

}  // namespace facet

#endif  // FACET_KERNELS_BACKEND_BACKEND_H_
