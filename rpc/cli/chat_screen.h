// How a conversation looks in a terminal: answers as they come, thoughts
// dimmed, tool calls as calls.
#ifndef FACET_RPC_CLI_CHAT_SCREEN_H_
#define FACET_RPC_CLI_CHAT_SCREEN_H_

#include <optional>
#include <string>
#include <vector>

#include "rpc/convert/text_messages.h"
#include "runtime/chat/answer_event.h"
#include "runtime/chat/answer_parser.h"

namespace facet {

struct ToolCall {
  std::string name;
  std::string arguments;  // the text of a JSON object
  bool malformed = false;
};

// What an answer came to.
struct ChatAnswer {
  std::string text;
  std::string thought;
  std::vector<ToolCall> calls;
};

// Where stdout is no terminal it gets the answers alone; thoughts, calls and
// figures go to stderr. Colours are for terminals whose user has not set
// NO_COLOR.
class ChatScreen {
 public:
  ChatScreen();

  void BeginAnswer();
  void Show(const TextEvent& event);
  // Ends the answer and shows what it took.
  ChatAnswer EndAnswer(const TextEvent& last);

  void Note(const std::string& text);

 private:
  void Show(const std::vector<AnswerEvent>& events);
  void ShowText(bool thought, const std::string& text);
  // Ends the line that is being written, if any.
  void EndLine();

  const bool output_is_terminal_;
  const bool colors_;
  std::optional<AnswerParser> parser_;  // of the answer under way
  bool thinking_ = false;               // what came last is a thought
  bool line_open_ = false;              // text since the last newline
  ChatAnswer answer_;
};

}  // namespace facet

#endif  // FACET_RPC_CLI_CHAT_SCREEN_H_
