// What the scheduler is asked for and what it answers.
#ifndef FACET_SCHEDULER_BATCHING_REQUEST_H_
#define FACET_SCHEDULER_BATCHING_REQUEST_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "runtime/plan/step_plan.h"

namespace facet {

struct SequenceRequest {
  std::vector<int32_t> prompt;
  // What was drawn for it elsewhere: the next token comes behind these. Less
  // than max_tokens, and no stop id.
  std::vector<int32_t> drawn;
  SamplingParams sampling;
  // 0: nothing is drawn, only what is wanted of the prompt comes back.
  int64_t max_tokens = 1;
  int64_t min_tokens = 0;         // no stop id is drawn among the first so many
  std::vector<int32_t> stop_ids;  // the one that ends it is reported
  std::vector<TokenBias> logit_bias;
  // Every token is drawn under a mask that is set with SetMask() first.
  bool masked = false;
  // Log-probabilities of the prompt's own tokens; see SequenceSlice.
  int prompt_logprobs = -1;
  // All rows of logits of the prompt, and no token.
  bool prompt_logits = false;
  int priority = 0;  // lower is more urgent; -100 to 100
  // Requests share cached pages only within equal salts.
  std::string cache_salt;
  // Another sample of the prompt of this sequence (same salt): starts once that
  // one has computed the prompt or has ended, and shares its pages.
  std::optional<SequenceId> sibling;
};

enum class SequenceEnd { kNotYet, kStop, kLength };

// What one step brought one sequence; there is none for a step that brought it
// nothing.
struct SequenceUpdate {
  SequenceId sequence;
  std::optional<SampledToken> token;
  std::vector<PromptLogprob> prompt_logprobs;
  std::vector<LogitsBlock> logits;
  SequenceEnd end = SequenceEnd::kNotYet;
};

}  // namespace facet

#endif  // FACET_SCHEDULER_BATCHING_REQUEST_H_
