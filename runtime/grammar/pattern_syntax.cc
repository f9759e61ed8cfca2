#include "runtime/grammar/pattern_syntax.h"

#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "runtime/grammar/automaton.h"
#include "runtime/tokenizer/utf8.h"

namespace facet {
namespace {

constexpr size_t kMaxCount = 100;  // characters between braces

const CodePoints& Digits() {
  static const CodePoints* const digits = new CodePoints{{'0', '9'}};
  return *digits;
}

const CodePoints& WordCharacters() {
  static const CodePoints* const word =
      new CodePoints{{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}};
  return *word;
}

const CodePoints& Spaces() {
  static const CodePoints* const spaces =
      new CodePoints{{'\t', '\r'}, {' ', ' '}};
  return *spaces;
}

// What ECMAScript or Python calls white space.
const CodePoints& WideSpaces() {
  static const CodePoints* const spaces = new CodePoints{
      {'\t', '\r'},     {0x1C, ' '},      {0x85, 0x85},     {0xA0, 0xA0},
      {0x1680, 0x1680}, {0x2000, 0x200A}, {0x2028, 0x2029}, {0x202F, 0x202F},
      {0x205F, 0x205F}, {0x3000, 0x3000}, {0xFEFF, 0xFEFF}};
  return *spaces;
}

CodePoints One(char32_t value) { return {{value, value}}; }

// `count` hexadecimal digits.
absl::StatusOr<char32_t> ReadHex(int count, Cursor* cursor) {
  uint32_t value = 0;
  const absl::string_view digits = cursor->text.substr(cursor->at, count);
  for (const char c : digits) {
    if (!absl::ascii_isxdigit(c)) return cursor->Error("bad escape");
    value =
        value << 4 | (absl::ascii_isdigit(c) ? c - '0' : (c | 32) - 'a' + 10);
  }
  if (digits.size() != static_cast<size_t>(count) || value > 0x10FFFF) {
    return cursor->Error("bad escape");
  }
  cursor->at += count;
  return static_cast<char32_t>(value);
}

// What follows \x, \u or \U: a fixed number of digits, or any in braces.
absl::StatusOr<CodePoints> ReadCodePoint(int count, Cursor* cursor) {
  if (cursor->Skip("{")) {
    const size_t end = cursor->text.find('}', cursor->at);
    const size_t length = end == cursor->text.npos ? 0 : end - cursor->at;
    if (length < 1 || length > 6) return cursor->Error("bad escape");
    count = static_cast<int>(length);
  }
  FACET_ASSIGN_OR_RETURN(char32_t value, ReadHex(count, cursor));
  cursor->Skip("}");
  if (value >= 0xD800 && value <= 0xDBFF && cursor->Skip("\\u")) {
    FACET_ASSIGN_OR_RETURN(const char32_t low, ReadHex(4, cursor));
    if (low < 0xDC00 || low > 0xDFFF) return cursor->Error("lone surrogate");
    value = 0x10000 + ((value - 0xD800) << 10) + (low - 0xDC00);
  }
  if (value >= 0xD800 && value <= 0xDFFF)
    return cursor->Error("lone surrogate");
  return One(value);
}

absl::StatusOr<CodePoints> ReadEscapeIn(bool negated_class, Cursor* cursor) {
  const size_t begin = cursor->at;
  cursor->Skip("\\");
  if (cursor->done()) return cursor->Error("a backslash at the end");
  const char32_t c = cursor->NextCharacter();
  switch (c) {
    case 'd':
      return Digits();
    case 'D':
      return Complement(Digits());
    case 'w':
      return WordCharacters();
    case 'W':
      return Complement(WordCharacters());
    case 's':
      return negated_class ? WideSpaces() : Spaces();
    case 'S':
      return Complement(negated_class ? Spaces() : WideSpaces());
    case 'n':
      return One('\n');
    case 'r':
      return One('\r');
    case 't':
      return One('\t');
    case 'f':
      return One('\f');
    case 'v':
      return One('\v');
    case 'a':
      return One('\a');
    case 'x':
      return ReadCodePoint(2, cursor);
    case 'u':
      return ReadCodePoint(4, cursor);
    case 'U':
      return ReadCodePoint(8, cursor);
    case '0':
      if (!absl::ascii_isdigit(cursor->peek())) return One(0);
      break;
    default:
      break;
  }
  if (c < 0x80 && absl::ascii_ispunct(static_cast<unsigned char>(c))) {
    return One(c);
  }
  if (c == ' ') return One(c);
  const std::string spelling(cursor->text.substr(begin, cursor->at - begin));
  cursor->at = begin;
  const char* what = c == 'b' || c == 'B'   ? "word boundary "
                     : c == 'p' || c == 'P' ? "Unicode property "
                     : c == 'k' || (c >= '0' && c <= '9')
                         ? "back-reference or octal escape "
                         : "escape ";
  return cursor->Error(absl::StrCat(what, spelling, " is not supported,"));
}

}  // namespace

char32_t Cursor::NextCharacter() {
  const CodePoint next = FirstCodePoint(text.substr(at));
  at += next.bytes;
  return next.value;
}

absl::Status Cursor::Error(absl::string_view what) const {
  return absl::InvalidArgumentError(absl::StrCat(what, " at byte ", at));
}

absl::StatusOr<CodePoints> ReadEscape(Cursor* cursor) {
  return ReadEscapeIn(/*negated_class=*/false, cursor);
}

absl::StatusOr<CodePoints> ReadClass(Cursor* cursor) {
  const size_t begin = cursor->at;
  cursor->Skip("[");
  const bool negated = cursor->Skip("^");
  CodePoints ranges;
  for (bool first = true; first || cursor->peek() != ']'; first = false) {
    if (cursor->done()) {
      cursor->at = begin;
      return cursor->Error("a class without its ]");
    }
    if (cursor->text.substr(cursor->at, 2) == "[:") {
      return cursor->Error("a named class such as [:alpha:] is not supported,");
    }
    const auto item = [&]() -> absl::StatusOr<CodePoints> {
      if (cursor->peek() == '\\') {
        // A backspace, inside a class only.
        if (cursor->Skip("\\b")) return One('\b');
        return ReadEscapeIn(negated, cursor);
      }
      return One(cursor->NextCharacter());
    };
    FACET_ASSIGN_OR_RETURN(CodePoints low, item());
    const bool one = low.size() == 1 && low[0].low == low[0].high;
    if (one && cursor->peek() == '-' && cursor->at + 1 < cursor->text.size() &&
        cursor->text[cursor->at + 1] != ']') {
      cursor->Skip("-");
      FACET_ASSIGN_OR_RETURN(const CodePoints high, item());
      if (high.size() != 1 || high[0].low != high[0].high ||
          high[0].low < low[0].low) {
        return cursor->Error("a bad range in a class");
      }
      low[0].high = high[0].high;
    }
    ranges.insert(ranges.end(), low.begin(), low.end());
  }
  cursor->Skip("]");
  return negated ? Complement(std::move(ranges))
                 : Normalized(std::move(ranges));
}

absl::StatusOr<std::optional<Repetition>> ReadRepetition(
    const GrammarLimits& limits, Cursor* cursor) {
  if (cursor->Skip("?")) return Repetition{0, 1};
  if (cursor->Skip("*")) return Repetition{0, kUnbounded};
  if (cursor->Skip("+")) return Repetition{1, kUnbounded};
  const std::optional<Repetition> none;
  if (cursor->peek() != '{') return none;
  absl::string_view inside = cursor->text.substr(cursor->at + 1, kMaxCount);
  const size_t length = inside.find('}');
  if (length == inside.npos) return none;
  inside = inside.substr(0, length);
  if (inside.find_first_not_of("0123456789,") != inside.npos) return none;
  const size_t comma = inside.find(',');
  const absl::string_view low = inside.substr(0, comma);
  const absl::string_view high =
      comma == inside.npos ? low : inside.substr(comma + 1);
  if (low.empty()) {
    return cursor->Error("a count without its minimum (write {0,n})");
  }
  Repetition count = {0, kUnbounded};
  if (!absl::SimpleAtoi(low, &count.min) ||
      (!high.empty() && !absl::SimpleAtoi(high, &count.max)) ||
      count.min > limits.max_repetition ||
      (!high.empty() && count.max > limits.max_repetition)) {
    return absl::ResourceExhaustedError(
        absl::StrCat("{", inside.substr(0, 40), "} at byte ", cursor->at,
                     " counts above max_repetition = ", limits.max_repetition));
  }
  if (count.min > count.max) return cursor->Error("a count out of order");
  cursor->at += length + 2;
  return count;
}

absl::Status CheckSource(absl::string_view text, const GrammarLimits& limits) {
  if (static_cast<int64_t>(text.size()) > limits.max_source_bytes) {
    return absl::ResourceExhaustedError(
        absl::StrCat("a source of ", text.size(),
                     " bytes; max_source_bytes = ", limits.max_source_bytes));
  }
  const size_t valid = ValidUtf8Prefix(text);
  if (valid != text.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("not valid UTF-8 at byte ", valid));
  }
  return absl::OkStatus();
}

}  // namespace facet
