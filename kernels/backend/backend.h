// What a forward pass asks of a device. The model is written once against this;
// a backend runs each operation where its memory is. Contracts, with the orders
// of addition that fix every bit, stand in the operations' own folders.
#ifndef FACET_KERNELS_BACKEND_BACKEND_H_
#define FACET_KERNELS_BACKEND_BACKEND_H_

#include <cstddef>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "kernels/attention/attention.h"
#include "kernels/attention_inputs/attention_inputs.h"
#include "kernels/embedding/embedding.h"
#include "kernels/experts/experts.h"
#include "kernels/gated_gelu/gated_gelu.h"
#include "kernels/matmul/matmul.h"
#include "kernels/rms_norm/rms_norm.h"
#include "kernels/router/router.h"
#include "kernels/sampling/sampling.h"

namespace facet {

class MessageRecorder;  // kernels/backend/message_recorder.h

// Values are in the memory of the backend's device. What the host knows before
// a step (rows to gather, positions, frequencies, slots, page tables) is host
// memory on every backend; it stays as it is until the next BeginStep().
//
// Operations run in the order they are asked for, and on a device perhaps long
// after the call: errors of a device come out of Read(). `use` says what the
// model does with an operation, such as "attention q k v"; profiles go by it.
// It points to a literal.
//
// One thread calls.
class Backend {
 public:
  virtual ~Backend() = default;

  // What the operation after the next one will multiply by: its weights may be
  // fetched to a cache while threads wait for each other. Changes no result.
  virtual void FetchAhead(absl::Span<const MatmulArgs> products) = 0;
  virtual void BeginStep() {}
  // What operations wait in line in, for communicators that join it: a stream
  // of the device's runtime. Null on processors.
  virtual void* stream() { return nullptr; }
  // For messages that are to be operations of the line; null where no device's
  // graphs are.
  virtual MessageRecorder* messages() { return nullptr; }
  // What was asked for goes to the device, though nobody waits for it yet.
  virtual void HandOver() {}
  // Between the host's memory and the device's, in the order of the other
  // operations. Read() waits for all of them.
  //
  // Errors: INTERNAL, naming what the device ran into.
  virtual absl::Status Read(const void* from, size_t bytes, void* to) = 0;
  virtual absl::Status Write(const void* from, size_t bytes, void* to) = 0;

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
  // y[i] = the sum of x[part][i], `parts` arrays of y.size(), added along one
  // binary tree, (0 + 1) + (2 + 3) and so on. REQUIRES: a power of two.
  virtual void AddParts(const char* use, int parts, const float* x,
                        absl::Span<float> y) = 0;
  // See kernels/softcap.
  virtual void Softcap(const char* use, absl::Span<float> x, float cap) = 0;
  // The `count` best of each of `rows` rows of `width` logits, as TopLogits()
  // of kernels/sampling orders them, tokens counted from 0: into best, [rows,
  // count] in the host's memory; token -1 where a row has no more. Waits, as
  // Read() does. REQUIRES: 0 < count <= kMostDeviceTop.
  virtual absl::Status TopLogits(const char* use, int64_t rows, int64_t width,
                                 const float* logits, int count,
                                 absl::Span<TokenLogit> best) = 0;
};

}  // namespace facet

#endif  // FACET_KERNELS_BACKEND_BACKEND_H_
