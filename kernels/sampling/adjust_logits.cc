#include "kernels/sampling/adjust_logits.h"

#include <algorithm>
#include <bit>
#include <limits>

namespace facet {
namespace {

// exp(-kForbidden / 1000) is 0 in f32, and a softcapped logit still counts to
// 1/64 beside it, so among forbidden tokens the best one is drawn.
constexpr float kForbidden = 131072.0f;

// Keeps what penalties make of a logit far from infinity. NaNs pass.
constexpr float kLargest = 1e30f;

float* Find(int32_t token, int32_t first, absl::Span<float> logits) {
  const int64_t at = int64_t{token} - first;
  if (at < 0 || at >= static_cast<int64_t>(logits.size())) return nullptr;
  return &logits[at];
}

}  // namespace

void Penalise(absl::Span<const TokenUse> uses, const Penalties& penalties,
              int32_t first, absl::Span<float> logits) {
  for (const TokenUse& use : uses) {
    float* const logit = Find(use.token, first, logits);
    if (logit == nullptr) continue;
    float value = *logit > 0 ? *logit / penalties.repetition
                             : *logit * penalties.repetition;
    value -= penalties.frequency * static_cast<float>(use.in_answer);
    if (use.in_answer > 0) value -= penalties.presence;
    *logit = std::clamp(value, -kLargest, kLargest);
  }
}

void Forbid(int32_t token, int32_t first, absl::Span<float> logits) {
  float* const logit = Find(token, first, logits);
  if (logit != nullptr) *logit -= kForbidden;
}

void KeepMasked(absl::Span<const uint64_t> mask, int32_t first,
                absl::Span<float> logits) {
  constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
  const int64_t end = int64_t{first} + static_cast<int64_t>(logits.size());
  for (int64_t word = first / 64; word * 64 < end; ++word) {
    const int64_t begin = std::max<int64_t>(first, word * 64);
    if (mask[word] == 0) {
      std::fill(logits.begin() + (begin - first),
                logits.begin() + (std::min(end, word * 64 + 64) - first), kNaN);
      continue;
    }
    for (uint64_t without = ~mask[word]; without != 0; without &= without - 1) {
      const int64_t token = word * 64 + std::countr_zero(without);
      if (token >= begin && token < end) logits[token - first] = kNaN;
    }
  }
}

}  // namespace facet
