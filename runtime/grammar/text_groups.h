// Kinds of characters, as bits. A subtree of the token trie says which kinds it
// holds, a state which kinds lead back to it: where the one is part of the
// other, the whole subtree is allowed without being walked. Inside a JSON
// string that is nearly all of a vocabulary.
#ifndef FACET_RUNTIME_GRAMMAR_TEXT_GROUPS_H_
#define FACET_RUNTIME_GRAMMAR_TEXT_GROUPS_H_

#include <cstdint>

namespace facet {

inline constexpr uint64_t kNonAsciiGroup = uint64_t{1} << 62;
// Bytes that are not whole characters; no state has this bit.
inline constexpr uint64_t kNotTextGroup = uint64_t{1} << 63;

// Small letters, capital letters, digits and control characters are groups;
// every other character is one of its own. REQUIRES: byte < 0x80.
constexpr int AsciiGroup(uint8_t byte) {
  if (byte >= 'a' && byte <= 'z') return 0;
  if (byte >= 'A' && byte <= 'Z') return 1;
  if (byte >= '0' && byte <= '9') return 2;
  if (byte == '\t') return 3;
  if (byte == '\n') return 4;
  if (byte < ' ' || byte == 0x7F) return 5;
  if (byte < '0') return 6 + (byte - ' ');   // 6 to 21
  if (byte < 'A') return 22 + (byte - ':');  // 22 to 28
  if (byte < 'a') return 29 + (byte - '[');  // 29 to 34
  return 35 + (byte - '{');                  // 35 to 38
}
inline constexpr int kAsciiGroups = 39;

// Well-formed UTF-8 beyond ASCII: a lead byte from a range, one second byte
// from a range, then `more` of 80 to BF.
struct Utf8Lead {
  uint8_t low = 0, high = 0;
  uint8_t second_low = 0, second_high = 0;
  int more = 0;
};
inline constexpr Utf8Lead kUtf8Leads[] = {
    {0xC2, 0xDF, 0x80, 0xBF, 0}, {0xE0, 0xE0, 0xA0, 0xBF, 1},
    {0xE1, 0xEC, 0x80, 0xBF, 1}, {0xED, 0xED, 0x80, 0x9F, 1},
    {0xEE, 0xEF, 0x80, 0xBF, 1}, {0xF0, 0xF0, 0x90, 0xBF, 2},
    {0xF1, 0xF3, 0x80, 0xBF, 2}, {0xF4, 0xF4, 0x80, 0x8F, 2}};

}  // namespace facet

#endif  // FACET_RUNTIME_GRAMMAR_TEXT_GROUPS_H_
