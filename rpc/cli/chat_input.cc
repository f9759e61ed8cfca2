#include "rpc/cli/chat_input.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_replace.h"
#include "rpc/cli/line_edit.h"

namespace facet {
namespace {

constexpr size_t kMaxHistory = 1000;
constexpr char kBlock[] = "\"\"\"";
constexpr int kExitInterrupted = 130;

// The terminal gives each key at once and shows nothing by itself.
class RawTerminal {
 public:
  RawTerminal() {
    tcgetattr(STDIN_FILENO, &before_);
    termios raw = before_;
    raw.c_iflag &= ~(ICRNL | IXON | BRKINT | INPCK | ISTRIP);
    raw.c_lflag &= ~(ECHO | ICANON | IEXTEN | ISIG);
    raw.c_cc[VMIN] = 1;
    raw.c_cc[VTIME] = 0;
    tcsetattr(STDIN_FILENO, TCSADRAIN, &raw);
    std::fputs("\033[?2004h", stdout);  // marks what is pasted
  }
  ~RawTerminal() {
    std::fputs("\033[?2004l\r\n", stdout);
    std::fflush(stdout);
    tcsetattr(STDIN_FILENO, TCSADRAIN, &before_);
  }
  RawTerminal(const RawTerminal&) = delete;
  RawTerminal& operator=(const RawTerminal&) = delete;

 private:
  termios before_ = {};
};

int Columns() {
  winsize size = {};
  const bool known = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0;
  return known && size.ws_col > 0 ? size.ws_col : 80;
}

// False: stdin has ended.
bool ReadByte(char* c) {
  ssize_t count = 0;
  do {
    count = read(STDIN_FILENO, c, 1);
  } while (count < 0 && errno == EINTR);
  return count == 1;
}

}  // namespace

ChatInput::ChatInput(std::string history_file)
    : history_file_(std::move(history_file)),
      interactive_(isatty(STDIN_FILENO) == 1 && isatty(STDOUT_FILENO) == 1) {
  if (!interactive_ || history_file_.empty()) return;
  std::ifstream file(history_file_);
  std::string line;
  while (std::getline(file, line)) {
    history_.push_back(
        absl::StrReplaceAll(line, {{"\\n", "\n"}, {"\\\\", "\\"}}));
  }
  if (history_.size() > kMaxHistory) {
    history_.erase(history_.begin(), history_.end() - kMaxHistory);
  }
}

std::optional<std::string> ChatInput::EditLine(const std::string& prompt) {
  std::fflush(stdout);
  std::optional<RawTerminal> raw;
  raw.emplace();
  std::optional<LineEdit> line;
  line.emplace(&history_);
  for (;;) {
    const std::string drawn =
        DrawLine(prompt, line->text(), line->cursor(), Columns());
    std::fputs(drawn.c_str(), stdout);
    std::fflush(stdout);
    char c = 0;
    if (!ReadByte(&c)) return std::nullopt;
    switch (line->Take(c)) {
      case LineEdit::Result::kMore:
        break;
      case LineEdit::Result::kDone:
        return line->text();
      case LineEdit::Result::kEnd:
        return std::nullopt;
      case LineEdit::Result::kInterrupt:
        if (line->text().empty()) {
          raw.reset();
          _exit(kExitInterrupted);
        }
        line.emplace(&history_);
        break;
    }
  }
}

bool ChatInput::ReadLine(const std::string& prompt, std::string* line) {
  if (!interactive_) return static_cast<bool>(std::getline(std::cin, *line));
  std::optional<std::string> typed = EditLine(prompt);
  if (!typed.has_value()) return false;
  *line = *std::move(typed);
  return true;
}

bool ChatInput::ReadTurn(const std::string& prompt, std::string* turn) {
  if (!ReadLine(prompt, turn)) return false;
  if (!interactive_) return true;
  const std::string more(prompt.size(), '.');
  std::string line;
  if (*turn == kBlock) {
    turn->clear();
    while (ReadLine(more, &line) && line != kBlock) *turn += line + "\n";
    if (!turn->empty()) turn->pop_back();
  } else {
    while (absl::EndsWith(*turn, "\\")) {
      turn->back() = '\n';
      if (!ReadLine(more, &line)) break;
      *turn += line;
    }
  }
  Remember(*turn);
  return true;
}

void ChatInput::Remember(const std::string& turn) {
  if (turn.empty() || (!history_.empty() && history_.back() == turn)) return;
  history_.push_back(turn);
  if (history_file_.empty()) return;
  std::error_code ignored;
  std::filesystem::create_directories(
      std::filesystem::path(history_file_).parent_path(), ignored);
  // What was said is its user's alone.
  const int fd = open(history_file_.c_str(),
                      O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (fd < 0) return;
  const std::string line =
      absl::StrReplaceAll(turn, {{"\\", "\\\\"}, {"\n", "\\n"}}) + "\n";
  const ssize_t written = write(fd, line.data(), line.size());
  static_cast<void>(written);  // a history that is not kept costs nothing
  close(fd);
}

std::string ChatHistoryFile() {
  if (const char* const state = std::getenv("XDG_STATE_HOME")) {
    if (*state != '\0') return std::string(state) + "/facet/chat_history";
  }
  const char* const home = std::getenv("HOME");
  if (home == nullptr || *home == '\0') return "";
  return std::string(home) + "/.local/state/facet/chat_history";
}

}  // namespace facet
