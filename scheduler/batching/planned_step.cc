#include "scheduler/batching/planned_step.h"

#include <algorithm>

#include "absl/algorithm/container.h"
#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"

namespace facet {
namespace {

template <typename... Parts>
absl::Status WrongResult(const Parts&... parts) {
  return absl::InternalError(absl::StrCat(
      "the executor's result does not answer the plan: ", parts...));
}

absl::Status CheckTokens(const PlannedStep& step, const StepResult& result,
                         int64_t vocab_size) {
  auto token = result.tokens.begin();
  for (const PlannedSlice& slice : step.slices) {
    if (!slice.sample) continue;
    if (token == result.tokens.end()) return WrongResult("a missing token");
    if (!(token->sequence == slice.sequence)) {
      return WrongResult("a token of sequence ", token->sequence.value,
                         " in place of ", slice.sequence.value);
    }
    if (token->token < 0 || token->token >= vocab_size) {
      return WrongResult("token id ", token->token);
    }
    ++token;
  }
  if (token != result.tokens.end()) return WrongResult("a token too many");
  return absl::OkStatus();
}

absl::Status CheckPromptLogprobs(const PlannedStep& step,
                                 const StepResult& result) {
  auto logprob = result.prompt_logprobs.begin();
  for (const PlannedSlice& slice : step.slices) {
    for (int64_t i = 1; i <= slice.prompt_logprobs; ++i, ++logprob) {
      if (logprob == result.prompt_logprobs.end() ||
          !(logprob->sequence == slice.sequence) ||
          logprob->position != slice.start + i) {
        return WrongResult("no log-probability of position ", slice.start + i,
                           " of sequence ", slice.sequence.value);
      }
    }
  }
  if (logprob != result.prompt_logprobs.end()) {
    return WrongResult("a log-probability too many");
  }
  return absl::OkStatus();
}

absl::Status CheckLogits(const PlannedStep& step, const StepResult& result,
                         int64_t vocab_size) {
  for (const LogitsBlock& block : result.logits) {
    const auto slice = absl::c_find_if(step.slices, [&](const auto& s) {
      return s.sequence == block.sequence;
    });
    if (slice == step.slices.end() || !slice->logits) {
      return WrongResult("logits that nobody asked for");
    }
    const int64_t columns = block.vocab_end - block.vocab_begin;
    if (block.first_position < slice->start || block.rows < 0 ||
        block.rows > slice->end() - block.first_position ||
        block.vocab_begin < 0 || columns < 0 || block.vocab_end > vocab_size ||
        static_cast<int64_t>(block.values.size()) != block.rows * columns) {
      return WrongResult("a block of logits outside its slice");
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckAnswers(const PlannedStep& step, const StepResult& result,
                          int64_t vocab_size) {
  if (result.step != step.step) {
    return WrongResult("step ", result.step, " in place of ", step.step);
  }
  FACET_RETURN_IF_ERROR(CheckTokens(step, result, vocab_size));
  FACET_RETURN_IF_ERROR(CheckPromptLogprobs(step, result));
  return CheckLogits(step, result, vocab_size);
}

}  // namespace facet
