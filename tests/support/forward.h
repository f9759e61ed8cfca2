// Drives an Executor by hand: chunks, pages and slices without a scheduler, so
// that a test decides how a prompt is cut.
#ifndef FACET_TESTS_SUPPORT_FORWARD_H_
#define FACET_TESTS_SUPPORT_FORWARD_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/executor/executor.h"
#include "runtime/plan/step_plan.h"

namespace facet {

using TokenIds = std::vector<int32_t>;

struct ForwardOptions {
  int64_t chunk = 0;      // tokens of a prompt's slice; 0: all
  bool together = false;  // all prompts share steps; else one after another
  int64_t vocab_size = 0;
  int sliding_window = 0;  // pages behind it are handed back as it moves
  // So many first positions of every prompt are read from pages that another
  // sequence filled. A multiple of page_tokens, below every prompt's length.
  int64_t shared = 0;
};

// Logits of every position of every prompt: [prompt][tokens * vocab]. Those of
// shared positions are 0.
absl::StatusOr<std::vector<std::vector<float>>> LogitsOf(
    Executor& executor, const std::vector<TokenIds>& prompts,
    const ForwardOptions& options);

struct ContinueOptions {
  int count = 1;  // tokens after each prompt
  SamplingParams sampling;
  SequenceStart start;  // for its logit_bias, late_tokens and late_position
  std::shared_ptr<const TokenMask> mask;
  int prompt_logprobs = -1;
  // Hands over steps before the one before is back, with kSampledToken in place
  // of tokens; prompts take turns, so that every stage has one of its own.
  bool pipelined = false;
};

struct Continuation {
  std::vector<SampledToken> tokens;
  std::vector<PromptLogprob> prompt_logprobs;
};

// What follows each prompt, decoded token by token.
absl::StatusOr<std::vector<Continuation>> Continue(
    Executor& executor, const std::vector<TokenIds>& prompts,
    const ContinueOptions& what, const ForwardOptions& options);

absl::StatusOr<std::vector<SampledToken>> Continue(
    Executor& executor, const TokenIds& prompt, int count,
    const SamplingParams& sampling, const ForwardOptions& options);

}  // namespace facet

#endif  // FACET_TESTS_SUPPORT_FORWARD_H_
