// How much one forward pass has to do at least: bytes of weights it reads and
// floating-point operations it makes. Arithmetic on a ModelConfig; benchmarks
// and cost models divide it by a machine's rates.
//
// A weight takes two bytes (bf16) and, per token, one multiply-add of two
// FLOPs. Norms, activations and the softmax are not counted, nor are rows of
// embedding tables, which are gathered one by one.
#ifndef FACET_RUNTIME_PLAN_WORK_H_
#define FACET_RUNTIME_PLAN_WORK_H_

#include <cstdint>

#include "absl/types/span.h"
#include "runtime/config/model_config.h"

namespace facet {

// Experts of one layer that at least one of `tokens` uniformly routed tokens
// goes to, in expectation: E (1 - (1 - k / E)^tokens). 0 in a dense model.
double ExpectedDistinctExperts(const ModelConfig& model, int64_t tokens);

// Bytes of weights that one decode step over `tokens` sequences reads, each
// once: all of a dense model, and the expected distinct experts of others.
double DecodeStepWeightBytes(const ModelConfig& model, int64_t tokens);

// FLOPs of one decoded token at `position` (tokens before it), head included.
double DecodeFlops(const ModelConfig& model, int64_t position);

// FLOPs of a prompt of `tokens` tokens, attention over what comes before each
// included; the head runs for the last token alone.
double PrefillFlops(const ModelConfig& model, int64_t tokens);

// One sequence's part of a step.
struct SliceShape {
  int64_t start = 0;      // tokens before it
  int64_t tokens = 1;     // computed
  int64_t head_rows = 1;  // of these, whose logits are wanted
};

struct StepWork {
  double weight_bytes = 0;  // each weight once, the expected distinct experts
  double kv_bytes = 0;      // keys and values that the slices see, by layer
  double flops = 0;
};

// One step over `slices`, each of a sequence of its own; the head runs where
// rows of it are wanted.
StepWork WorkOfStep(const ModelConfig& model,
                    absl::Span<const SliceShape> slices,
                    int kv_bytes_per_element);

}  // namespace facet

#endif  // FACET_RUNTIME_PLAN_WORK_H_
