// One line being typed at a terminal: keys in, text and cursor out. Knows
// nothing of terminals but their escape sequences.
#ifndef FACET_RPC_CLI_LINE_EDIT_H_
#define FACET_RPC_CLI_LINE_EDIT_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace facet {

// Left, right, home, end, delete, backspace, Ctrl-A -E -K -U -W; up and down go
// through the history. Alt-Enter, and a pasted line's end, put a line break
// into the text. Other control keys do nothing.
class LineEdit {
 public:
  enum class Result {
    kMore,
    kDone,       // Enter
    kEnd,        // Ctrl-D on an empty line
    kInterrupt,  // Ctrl-C
  };

  // `history`, oldest first, outlives the line.
  explicit LineEdit(const std::vector<std::string>* history)
      : history_(history), at_(history->size()) {}

  // The next byte that was typed.
  Result Take(char c);

  const std::string& text() const { return text_; }
  // In bytes, at the beginning of a character.
  size_t cursor() const { return cursor_; }

 private:
  Result Control(char c);
  // True: the sequence in escape_ is whole, and was done.
  bool Escape();
  void Key(absl::string_view key);
  void Insert(char c);
  void Erase(size_t begin, size_t end);
  // Goes `step` lines through the history.
  void Recall(int step);
  size_t Before(size_t at) const;
  size_t Behind(size_t at) const;

  const std::vector<std::string>* const history_;
  size_t at_;         // in the history; its size: the line itself
  std::string kept_;  // the line itself, while an older one is shown
  std::string text_;
  size_t cursor_ = 0;
  std::string escape_;  // the sequence so far, ESC included; empty: none
  bool pasting_ = false;
};

// What draws `prompt` and `text` on the cursor's row, `columns` wide, and puts
// the cursor where it belongs. A longer text is shown around the cursor; line
// breaks are shown as a sign.
std::string DrawLine(const std::string& prompt, const std::string& text,
                     size_t cursor, int columns);

}  // namespace facet

#endif  // FACET_RPC_CLI_LINE_EDIT_H_
