// UTF-8, strictly: no overlong forms, no surrogates, nothing above U+10FFFF.
#ifndef FACET_RUNTIME_TOKENIZER_UTF8_H_
#define FACET_RUNTIME_TOKENIZER_UTF8_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace facet {

struct CodePoint {
  char32_t value = 0;
  int bytes = 0;  // 0: no valid character starts here
};

// The character that starts at `text[0]`; bytes = 0 when `text` is empty.
inline CodePoint FirstCodePoint(absl::string_view text) {
  if (text.empty()) return {};
  const auto byte = [&text](size_t i) -> uint32_t {
    return static_cast<uint8_t>(text[i]);
  };
  const uint32_t lead = byte(0);
  if (lead < 0x80) return {static_cast<char32_t>(lead), 1};
  int bytes;
  uint32_t value, least;
  if ((lead & 0xE0) == 0xC0) {
    bytes = 2, value = lead & 0x1F, least = 0x80;
  } else if ((lead & 0xF0) == 0xE0) {
    bytes = 3, value = lead & 0x0F, least = 0x800;
  } else if ((lead & 0xF8) == 0xF0) {
    bytes = 4, value = lead & 0x07, least = 0x10000;
  } else {
    return {};
  }
  if (text.size() < static_cast<size_t>(bytes)) return {};
  for (int i = 1; i < bytes; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return {};
    value = value << 6 | (byte(i) & 0x3F);
  }
  const bool surrogate = value >= 0xD800 && value <= 0xDFFF;
  if (value < least || value > 0x10FFFF || surrogate) return {};
  return {static_cast<char32_t>(value), bytes};
}

// The offset of the first byte that is not UTF-8, or text.size().
inline size_t ValidUtf8Prefix(absl::string_view text) {
  size_t at = 0;
  while (at < text.size()) {
    const int bytes = FirstCodePoint(text.substr(at)).bytes;
    if (bytes == 0) break;
    at += bytes;
  }
  return at;
}

}  // namespace facet

#endif  // FACET_RUNTIME_TOKENIZER_UTF8_H_
