// Runs of an answer's text, told apart by what they are.
#ifndef FACET_RUNTIME_CHAT_ANSWER_PART_H_
#define FACET_RUNTIME_CHAT_ANSWER_PART_H_

#include <cstdint>
#include <string>

namespace facet {

enum class PartKind : uint8_t { kAnswer, kThought, kToolCall };

// A run of text of one kind. A thought comes without its channel name; a tool
// call as "call:NAME{...}" with its string markers.
struct AnswerPart {
  PartKind kind = PartKind::kAnswer;
  std::string text;
  bool begins = false;  // the first run of a part, not more of the one before
  // The text is the spelling of one control token, such as <|"|> around a
  // string in a call; nothing but the token itself sets this.
  bool marker = false;
};

}  // namespace facet

#endif  // FACET_RUNTIME_CHAT_ANSWER_PART_H_
