// What a request changes of its logits before a token is drawn from them. Each
// function works on a run of the vocabulary that starts at token `first`, and
// skips tokens outside of it.
#ifndef FACET_KERNELS_SAMPLING_ADJUST_LOGITS_H_
#define FACET_KERNELS_SAMPLING_ADJUST_LOGITS_H_

#include <cstdint>

#include "absl/types/span.h"

namespace facet {

// A token that stands in a prompt, or in the answer so many times.
struct TokenUse {
  int32_t token = 0;
  int32_t in_answer = 0;
};

struct Penalties {
  float repetition = 1;  // > 0; 1: off
  float presence = 0;
  float frequency = 0;
};

// For each token in use: a positive logit is divided by `repetition`, another
// multiplied (Keskar et al., arXiv:1909.05858, sec. 4.1); then
// frequency * in_answer comes off it, then `presence` if it is in the answer.
void Penalise(absl::Span<const TokenUse> uses, const Penalties& penalties,
              int32_t first, absl::Span<float> logits);

// Takes so much off the logit that the token cannot be drawn at any temperature
// up to 1000, unless nothing better is left.
void Forbid(int32_t token, int32_t first, absl::Span<float> logits);

// Logits of tokens without a bit become NaNs, which are never drawn. Token t is
// bit t % 64 of word t / 64. REQUIRES: `mask` covers the run.
void KeepMasked(absl::Span<const uint64_t> mask, int32_t first,
                absl::Span<float> logits);

}  // namespace facet

#endif  // FACET_KERNELS_SAMPLING_ADJUST_LOGITS_H_
