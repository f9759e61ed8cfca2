// What a user types: turns of one line or several, with a history that lasts.
#ifndef FACET_RPC_CLI_CHAT_INPUT_H_
#define FACET_RPC_CLI_CHAT_INPUT_H_

#include <optional>
#include <string>
#include <vector>

namespace facet {

class ChatInput {
 public:
  // `history_file` is read now and added to with each turn; empty: none.
  explicit ChatInput(std::string history_file);

  // Both ends are terminals: lines can be edited, and prompts are shown.
  // Otherwise each line of stdin is a turn as it is.
  bool interactive() const { return interactive_; }

  // The next turn; false at the end. At a terminal, a line that ends in a
  // backslash goes on in the next one, and so does everything between two lines
  // of """.
  bool ReadTurn(const std::string& prompt, std::string* turn);

  // One line that is no turn and stays out of the history.
  bool ReadLine(const std::string& prompt, std::string* line);

 private:
  // At a terminal. None: the end.
  std::optional<std::string> EditLine(const std::string& prompt);
  void Remember(const std::string& turn);

  const std::string history_file_;
  const bool interactive_;
  std::vector<std::string> history_;  // oldest first
};

// Where the history of a user lies: under XDG_STATE_HOME, or else under
// ~/.local/state; empty where neither is known.
std::string ChatHistoryFile();

}  // namespace facet

#endif  // FACET_RPC_CLI_CHAT_INPUT_H_
