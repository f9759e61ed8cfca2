#include "runtime/chat/python_text.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "runtime/chat/unicode_tables.h"
#include "runtime/tokenizer/utf8.h"

namespace facet {
namespace {

bool IsSpace(char32_t c) {
  return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20) || c == 0x85 ||
         c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) ||
         c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F ||
         c == 0x3000;
}

void AppendUtf8(char32_t c, std::string* text) {
  if (c < 0x80) {
    text->push_back(static_cast<char>(c));
  } else if (c < 0x800) {
    text->push_back(static_cast<char>(0xC0 | c >> 6));
    text->push_back(static_cast<char>(0x80 | (c & 0x3F)));
  } else if (c < 0x10000) {
    text->push_back(static_cast<char>(0xE0 | c >> 12));
    text->push_back(static_cast<char>(0x80 | (c >> 6 & 0x3F)));
    text->push_back(static_cast<char>(0x80 | (c & 0x3F)));
  } else {
    text->push_back(static_cast<char>(0xF0 | c >> 18));
    text->push_back(static_cast<char>(0x80 | (c >> 12 & 0x3F)));
    text->push_back(static_cast<char>(0x80 | (c >> 6 & 0x3F)));
    text->push_back(static_cast<char>(0x80 | (c & 0x3F)));
  }
}

std::string ChangeCase(absl::string_view text, const CaseRun* runs,
                       int run_count, const LongCase* longs, int long_count) {
  std::string changed;
  changed.reserve(text.size());
  while (!text.empty()) {
    const CodePoint c = FirstCodePoint(text);
    const size_t bytes = std::max(c.bytes, 1);
    const CaseRun* run = std::lower_bound(
        runs, runs + run_count, c.value,
        [](const CaseRun& r, char32_t value) { return r.last < value; });
    const LongCase* one = std::lower_bound(
        longs, longs + long_count, c.value,
        [](const LongCase& l, char32_t value) { return l.from < value; });
    if (c.bytes > 0 && one != longs + long_count && one->from == c.value) {
      changed += one->to;
    } else if (c.bytes > 0 && run != runs + run_count &&
               run->first <= c.value &&
               (c.value - run->first) % run->step == 0) {
      AppendUtf8(c.value + run->delta, &changed);
    } else {
      changed.append(text.data(), bytes);
    }
    text.remove_prefix(bytes);
  }
  return changed;
}

bool IsPrintable(char32_t c) {
  if (c < 0x7F) return c >= 0x20;
  const CodePointRange* range = std::lower_bound(
      kUnprintable, kUnprintable + kUnprintableCount, c,
      [](const CodePointRange& r, char32_t value) { return r.last < value; });
  return range == kUnprintable + kUnprintableCount || c < range->first;
}

}  // namespace

absl::string_view PythonStrip(absl::string_view text) {
  while (!text.empty()) {
    const CodePoint c = FirstCodePoint(text);
    if (c.bytes == 0 || !IsSpace(c.value)) break;
    text.remove_prefix(c.bytes);
  }
  while (!text.empty()) {
    size_t at = text.size() - 1;
    while (at > 0 && (static_cast<uint8_t>(text[at]) & 0xC0) == 0x80) --at;
    const CodePoint c = FirstCodePoint(text.substr(at));
    if (at + c.bytes != text.size() || !IsSpace(c.value)) break;
    text.remove_suffix(c.bytes);
  }
  return text;
}

std::string PythonLower(absl::string_view text) {
  return ChangeCase(text, kLowerRuns, kLowerRunsCount, kLongLower,
                    kLongLowerCount);
}

std::string PythonUpper(absl::string_view text) {
  return ChangeCase(text, kUpperRuns, kUpperRunsCount, kLongUpper,
                    kLongUpperCount);
}

std::string PythonQuoted(absl::string_view text) {
  const bool single = text.find('\'') == text.npos;
  const char quote = single || text.find('"') != text.npos ? '\'' : '"';
  std::string quoted(1, quote);
  while (!text.empty()) {
    const CodePoint c = FirstCodePoint(text);
    const size_t bytes = std::max(c.bytes, 1);
    if (c.value == '\n') {
      quoted += "\\n";
    } else if (c.value == '\r') {
      quoted += "\\r";
    } else if (c.value == '\t') {
      quoted += "\\t";
    } else if (c.value == '\\' || c.value == static_cast<uint8_t>(quote)) {
      quoted += '\\';
      quoted += static_cast<char>(c.value);
    } else if (c.bytes == 0 || IsPrintable(c.value)) {
      quoted.append(text.data(), bytes);
    } else if (c.value < 0x100) {
      quoted += absl::StrFormat("\\x%02x", static_cast<uint32_t>(c.value));
    } else if (c.value < 0x10000) {
      quoted += absl::StrFormat("\\u%04x", static_cast<uint32_t>(c.value));
    } else {
      quoted += absl::StrFormat("\\U%08x", static_cast<uint32_t>(c.value));
    }
    text.remove_prefix(bytes);
  }
  quoted += quote;
  return quoted;
}

std::string PythonFloat(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  // Shortest digits as d.ddde+XX, then laid out by Python's rule.
  char buffer[40];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, value,
                                 std::chars_format::scientific);
  absl::string_view text(buffer, end.ptr - buffer);
  const absl::string_view sign = text[0] == '-' ? "-" : "";
  text.remove_prefix(sign.size());
  const size_t e = text.find('e');
  const int exponent = std::atoi(std::string(text.substr(e + 1)).c_str());
  std::string digits(text.substr(0, 1));
  if (e > 2) absl::StrAppend(&digits, text.substr(2, e - 2));
  const int count = static_cast<int>(digits.size());
  if (exponent < -4 || exponent >= 16) {
    if (count > 1) digits.insert(1, ".");
    return absl::StrFormat("%s%se%c%02d", sign, digits,
                           exponent < 0 ? '-' : '+', std::abs(exponent));
  }
  if (exponent < 0) {
    return absl::StrCat(sign, "0.", std::string(-exponent - 1, '0'), digits);
  }
  if (count <= exponent + 1) {
    return absl::StrCat(sign, digits, std::string(exponent + 1 - count, '0'),
                        ".0");
  }
  digits.insert(exponent + 1, ".");
  return absl::StrCat(sign, digits);
}

}  // namespace facet
