// What an answer says, as a client is told: thoughts, content and tool calls
// whose arguments are JSON.
#ifndef FACET_RUNTIME_CHAT_ANSWER_EVENT_H_
#define FACET_RUNTIME_CHAT_ANSWER_EVENT_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace facet {

enum class AnswerEventKind : uint8_t {
  kThought,    // more of a thought
  kContent,    // more of the answer itself
  kCallBegin,  // `text` is the name of the function
  kArguments,  // more of a call's arguments
  kCallEnd,
};

struct AnswerEvent {
  AnswerEventKind kind = AnswerEventKind::kContent;
  std::string text = {};
  int call = -1;  // of kCallBegin, kArguments, kCallEnd: counts from 0
  // Of kCallEnd: the call was not in the syntax or broke off. Its arguments are
  // JSON nevertheless, with all the text there was.
  bool malformed = false;
};

// Appends `event`, to the last event where it goes on with that.
inline void AppendEvent(AnswerEvent event, std::vector<AnswerEvent>* events) {
  const bool is_text = event.kind == AnswerEventKind::kThought ||
                       event.kind == AnswerEventKind::kContent ||
                       event.kind == AnswerEventKind::kArguments;
  if (is_text && event.text.empty()) return;
  if (is_text && !events->empty() && events->back().kind == event.kind &&
      events->back().call == event.call) {
    events->back().text += event.text;
    return;
  }
  events->push_back(std::move(event));
}

}  // namespace facet

#endif  // FACET_RUNTIME_CHAT_ANSWER_EVENT_H_
