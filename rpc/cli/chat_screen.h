// How a conversation looks in a terminal: answers as they come, thoughts
// dimmed, tool calls as calls.
#ifndef FACET_RPC_CLI_CHAT_SCREEN_H_
#define FACET_RPC_CLI_CHAT_SCREEN_H_

#include <string>
#include <vector>

#include "rpc/convert/text_messages.h"
#include "rpc/convert/tool_call.h"

namespace facet {

// What an answer came to.
struct ChatAnswer {
  std::string text;
  std::string thought;
  std::vector<std::string> raw_calls;
};

// Where stdout is no terminal it gets the answers alone; thoughts, calls and
// figures go to stderr.
class ChatScreen {
 public:
  ChatScreen();

  // Asks for a line on stdin; false at its end. The question is shown on
  // terminals alone.
  bool ReadLine(const std::string& question, std::string* line);

  void BeginAnswer();
  void Show(const TextEvent& event);
  // Ends the answer and shows what it took.
  ChatAnswer EndAnswer(const TextEvent& last);

  void ShowCall(const ToolCall& call);
  void Note(const std::string& text);

 private:
  void BeginPart(PartKind kind);

  const bool input_is_terminal_;
  const bool output_is_terminal_;
  PartKind kind_ = PartKind::kAnswer;
  bool line_open_ = false;  // text since the last newline
  ChatAnswer answer_;
};

}  // namespace facet

#endif  // FACET_RPC_CLI_CHAT_SCREEN_H_
