#include "rpc/cli/line_edit.h"

#include <algorithm>
#include <cwchar>

#include "absl/strings/str_cat.h"

namespace facet {
namespace {

constexpr char kEscape = '\033';
constexpr char Ctrl(char letter) { return static_cast<char>(letter & 0x1f); }

bool IsContinuation(char c) {
  return (static_cast<unsigned char>(c) & 0xC0) == 0x80;
}

// A character of UTF-8 as a terminal shows it.
struct Shown {
  std::string text;
  int columns = 0;
  size_t begin = 0;  // in the line
};

int ColumnsOf(absl::string_view character) {
  const auto first = static_cast<unsigned char>(character[0]);
  uint32_t code = first;
  if (first >= 0xF0) {
    code = first & 0x07;
  } else if (first >= 0xE0) {
    code = first & 0x0F;
  } else if (first >= 0xC0) {
    code = first & 0x1F;
  }
  for (size_t i = 1; i < character.size(); ++i) {
    code = code << 6 | (static_cast<unsigned char>(character[i]) & 0x3F);
  }
  const int columns = wcwidth(static_cast<wchar_t>(code));
  return columns < 0 ? 1 : columns;  // unknown in this locale
}

std::vector<Shown> Characters(const std::string& text) {
  std::vector<Shown> characters;
  for (size_t at = 0; at < text.size();) {
    size_t end = at + 1;
    while (end < text.size() && IsContinuation(text[end])) ++end;
    const std::string one = text.substr(at, end - at);
    if (one == "\n") {
      characters.push_back({"\xE2\x86\xB5", 1, at});  // an arrow
    } else if (one == "\t") {
      characters.push_back({" ", 1, at});
    } else {
      characters.push_back({one, ColumnsOf(one), at});
    }
    at = end;
  }
  return characters;
}

}  // namespace

size_t LineEdit::Before(size_t at) const {
  if (at == 0) return 0;
  do {
    --at;
  } while (at > 0 && IsContinuation(text_[at]));
  return at;
}

size_t LineEdit::Behind(size_t at) const {
  if (at >= text_.size()) return text_.size();
  do {
    ++at;
  } while (at < text_.size() && IsContinuation(text_[at]));
  return at;
}

void LineEdit::Insert(char c) {
  text_.insert(cursor_, 1, c);
  ++cursor_;
}

void LineEdit::Erase(size_t begin, size_t end) {
  text_.erase(begin, end - begin);
  cursor_ = begin;
}

void LineEdit::Recall(int step) {
  if ((step < 0 && at_ == 0) || (step > 0 && at_ == history_->size())) return;
  if (at_ == history_->size()) kept_ = text_;
  at_ += step;
  text_ = at_ == history_->size() ? kept_ : (*history_)[at_];
  cursor_ = text_.size();
}

LineEdit::Result LineEdit::Take(char c) {
  if (!escape_.empty()) {
    escape_ += c;
    if (Escape()) escape_.clear();
    return Result::kMore;
  }
  if (c == kEscape) {
    escape_ = c;
    return Result::kMore;
  }
  if (pasting_ && (c == '\r' || c == '\n')) {
    Insert('\n');
    return Result::kMore;
  }
  const auto byte = static_cast<unsigned char>(c);
  if (byte >= 0x20 && byte != 0x7f) {
    Insert(c);
    return Result::kMore;
  }
  return Control(c);
}

LineEdit::Result LineEdit::Control(char c) {
  switch (c) {
    case '\r':
    case '\n':
      return Result::kDone;
    case Ctrl('C'):
      return Result::kInterrupt;
    case Ctrl('D'):
      if (text_.empty()) return Result::kEnd;
      Erase(cursor_, Behind(cursor_));
      break;
    case Ctrl('H'):
    case 0x7f:
      Erase(Before(cursor_), cursor_);
      break;
    case Ctrl('A'):
      cursor_ = 0;
      break;
    case Ctrl('E'):
      cursor_ = text_.size();
      break;
    case Ctrl('K'):
      Erase(cursor_, text_.size());
      break;
    case Ctrl('U'):
      Erase(0, cursor_);
      break;
    case Ctrl('W'): {
      size_t begin = cursor_;
      while (begin > 0 && text_[begin - 1] == ' ') --begin;
      while (begin > 0 && text_[begin - 1] != ' ') --begin;
      Erase(begin, cursor_);
      break;
    }
    case '\t':
      Insert(' ');
      break;
    default:
      break;
  }
  return Result::kMore;
}

bool LineEdit::Escape() {
  const char last = escape_.back();
  if (escape_.size() == 2) {
    if (last == '[' || last == 'O') return false;
    if (last == '\r' || last == '\n') Insert('\n');
    return true;
  }
  // Parameters, then the one byte that ends a sequence.
  if (escape_.size() < 16 && (last < '@' || last > '~')) return false;
  Key(absl::string_view(escape_).substr(2));
  return true;
}

void LineEdit::Key(absl::string_view key) {
  if (key == "A") Recall(-1);
  if (key == "B") Recall(1);
  if (key == "C") cursor_ = Behind(cursor_);
  if (key == "D") cursor_ = Before(cursor_);
  if (key == "H" || key == "1~") cursor_ = 0;
  if (key == "F" || key == "4~") cursor_ = text_.size();
  if (key == "3~") Erase(cursor_, Behind(cursor_));
  if (key == "200~") pasting_ = true;
  if (key == "201~") pasting_ = false;
}

std::string DrawLine(const std::string& prompt, const std::string& text,
                     size_t cursor, int columns) {
  int left = 0;  // of the text
  for (const Shown& one : Characters(prompt)) left += one.columns;
  const int room = std::max(8, columns - left - 1);
  const std::vector<Shown> characters = Characters(text);
  size_t at = 0;  // the character at the cursor
  while (at < characters.size() && characters[at].begin < cursor) ++at;
  // As much as fits before the cursor, then as much as fits behind it.
  size_t first = at;
  int before = 0;
  while (first > 0 && before + characters[first - 1].columns <= room) {
    before += characters[--first].columns;
  }
  std::string shown;
  int used = 0;
  for (size_t i = first; i < characters.size(); ++i) {
    if (used + characters[i].columns > room) break;
    used += characters[i].columns;
    shown += characters[i].text;
  }
  std::string drawn = absl::StrCat("\r", prompt, shown, "\033[K\r");
  if (left + before > 0) absl::StrAppend(&drawn, "\033[", left + before, "C");
  return drawn;
}

}  // namespace facet
