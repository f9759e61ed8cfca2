// Drives an Executor by hand: chunks, pages and slices without a scheduler, so
// that a test decides how a prompt is cut.
#ifndef FACET_TESTS_SUPPORT_FORWARD_H_
#define FACET_TESTS_SUPPORT_FORWARD_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/executor/executor.h"
#include "runtime/plan/step_plan.h"

namespace facet {

using TokenIds = std::vector<int32_t>;

struct ForwardOptions {
  int64_t chunk = 0;      // tokens of a slice; 0: all
  bool together = false;  // all prompts share steps; else one after another
  int64_t vocab_size = 0;
  int sliding_window = 0;  // pages behind it are handed back as it moves
};

// Logits of every position of every prompt: [prompt][tokens * vocab].
absl::StatusOr<std::vector<std::vector<float>>> LogitsOf(
    Executor& executor, const std::vector<TokenIds>& prompts,
    const ForwardOptions& options);

// `count` tokens after `prompt`, decoded one by one.
absl::StatusOr<std::vector<SampledToken>> Continue(
    Executor& executor, const TokenIds& prompt, int count,
    const SamplingParams& sampling, const ForwardOptions& options);

}  // namespace facet

#endif  // FACET_TESTS_SUPPORT_FORWARD_H_
