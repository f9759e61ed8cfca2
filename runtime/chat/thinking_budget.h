// How long a model may think before its thought is closed for it.
#ifndef FACET_RUNTIME_CHAT_THINKING_BUDGET_H_
#define FACET_RUNTIME_CHAT_THINKING_BUDGET_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "runtime/chat/answer_markers.h"
#include "runtime/tokenizer/tokenizer.h"

namespace facet {

// One answer. Follows its tokens and says when there is only one that may come
// next: behind `max_tokens` tokens of thought, its last line is ended and the
// channel closed, as a model does it. The line with the channel's name, and
// what the prompt holds of a thought, do not count. All thoughts of an answer
// share the budget.
class ThinkingBudget {
 public:
  // `tokenizer` outlives it. `max_tokens` may be 0: thoughts are opened and
  // closed. A tokenizer without channels leaves nothing to say.
  ThinkingBudget(const Tokenizer* tokenizer, absl::Span<const int32_t> prompt,
                 int64_t max_tokens);

  // The one token that has to come next; none: any.
  std::optional<int32_t> Forced() const;

  // Token `id` of the answer came.
  void Take(int32_t id);

  // Tokens of thought so far, those that were forced left out.
  int64_t spent() const { return spent_; }

 private:
  void Read(int32_t id);

  const Tokenizer* tokenizer_;
  const AnswerMarkers markers_;
  const int64_t max_tokens_;
  int32_t line_end_ = -1;  // the token of a line break
  PartKind kind_ = PartKind::kAnswer;
  bool in_name_ = false;  // of the channel
  bool line_ended_ = true;
  int64_t spent_ = 0;
};

}  // namespace facet

#endif  // FACET_RUNTIME_CHAT_THINKING_BUDGET_H_
