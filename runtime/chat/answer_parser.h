// The parts of an answer (answer_part.h) to what clients are told: the thought,
// the content, and calls with their names and JSON arguments.
#ifndef FACET_RUNTIME_CHAT_ANSWER_PARSER_H_
#define FACET_RUNTIME_CHAT_ANSWER_PARSER_H_

#include <optional>
#include <vector>

#include "runtime/chat/answer_event.h"
#include "runtime/chat/answer_part.h"
#include "runtime/chat/tool_call_parser.h"

namespace facet {

// One answer. However its parts are cut, the texts of the events join to the
// same. See ToolCallParser for what becomes of calls that are none.
class AnswerParser {
 public:
  // Appends what became certain with `part`.
  void Push(const AnswerPart& part, std::vector<AnswerEvent>* events);

  // The answer has ended: closes a call that broke off. Nothing comes after.
  void Finish(std::vector<AnswerEvent>* events);

  // Calls that have begun.
  int calls() const { return calls_; }

 private:
  void EndPart(std::vector<AnswerEvent>* events);
  // A thought ends in a line break that belongs to the format.
  void Thought(absl::string_view text, std::vector<AnswerEvent>* events);
  void Call(const AnswerPart& part, std::vector<AnswerEvent>* events);

  PartKind kind_ = PartKind::kAnswer;
  bool line_break_held_ = false;  // at the end of a thought so far
  std::optional<ToolCallParser> call_;
  int calls_ = 0;
};

}  // namespace facet

#endif  // FACET_RUNTIME_CHAT_ANSWER_PARSER_H_
