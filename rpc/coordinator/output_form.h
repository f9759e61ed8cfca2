// Keeps an answer within a grammar: which tokens may come next, given those
// that came. A thought is free text until it is closed; the grammar counts for
// the answer and its calls, whose control tokens are bytes of their own
// (control_bytes.h). Thoughts end where their budget does.
#ifndef FACET_RPC_COORDINATOR_OUTPUT_FORM_H_
#define FACET_RPC_COORDINATOR_OUTPUT_FORM_H_

#include <array>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "rpc/convert/text_messages.h"
#include "runtime/chat/answer_markers.h"
#include "runtime/chat/thinking_budget.h"
#include "runtime/grammar/control_bytes.h"
#include "runtime/grammar/matcher.h"
#include "runtime/grammar/token_masks.h"
#include "runtime/plan/step_plan.h"
#include "runtime/tokenizer/tokenizer.h"

namespace facet {

// What all answers of one model share: the trie of its tokens and the masks of
// states seen before. Made when the first request needs it. Thread-safe.
class OutputForms {
 public:
  // `tokenizer` outlives it.
  explicit OutputForms(const Tokenizer* tokenizer);

  MaskCache& masks();
  const Tokenizer& tokenizer() const { return *tokenizer_; }
  int32_t channel_open() const { return markers_.channel_open; }
  // The tokens of a thought: all that are text, and the end of the thought.
  const std::shared_ptr<const TokenMask>& thought() const { return thought_; }
  // Every token of the vocabulary.
  const std::shared_ptr<const TokenMask>& any() const { return any_; }
  // What token `id` is to a grammar.
  std::string BytesOf(int32_t id) const;

 private:
  const Tokenizer* const tokenizer_;
  const AnswerMarkers markers_;
  const std::array<ControlToken, 3> controls_;
  const std::shared_ptr<const TokenMask> thought_;
  const std::shared_ptr<const TokenMask> any_;
  std::once_flag once_;
  std::unique_ptr<MaskCache> masks_;
};

// One answer.
class OutputForm {
 public:
  // `forms` outlives it. Without a grammar, any text will do. `stop_ids` are
  // allowed where the grammar may end; with `may_think`, a thought may come
  // first.
  OutputForm(OutputForms* forms, GrammarPtr grammar,
             std::vector<int32_t> stop_ids, bool may_think,
             std::optional<ThinkingBudget> budget = std::nullopt);

  // The tokens that may come next in text of `kind`. May take milliseconds.
  //
  // Errors: RESOURCE_EXHAUSTED for a grammar that is too ambiguous to follow.
  absl::StatusOr<std::shared_ptr<const TokenMask>> Mask(PartKind kind) const;

  // The same where it costs microseconds, otherwise null.
  std::shared_ptr<const TokenMask> QuickMask(PartKind kind) const;

  // Token `id` came; it turned text of kind `before` into `after`.
  //
  // Errors: those of GrammarMatcher::Accept().
  absl::Status Take(int32_t id, PartKind before, PartKind after);

  // The answer is complete and nothing may follow.
  bool finished() const {
    return matcher_.has_value() && matcher_->IsFinished();
  }

 private:
  // What may come, where that needs no look at the grammar; otherwise null.
  std::shared_ptr<const TokenMask> FreeMask(PartKind kind) const;
  // `mask` with what may come besides the grammar's tokens.
  std::shared_ptr<const TokenMask> Complete(
      std::shared_ptr<const TokenMask> mask) const;

  OutputForms* forms_;
  std::optional<GrammarMatcher> matcher_;
  std::vector<int32_t> stop_ids_;
  bool may_think_;
  std::optional<ThinkingBudget> budget_;
};

}  // namespace facet

#endif  // FACET_RPC_COORDINATOR_OUTPUT_FORM_H_
