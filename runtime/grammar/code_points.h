// Sets of Unicode characters and what they are in UTF-8 bytes.
#ifndef FACET_RUNTIME_GRAMMAR_CODE_POINTS_H_
#define FACET_RUNTIME_GRAMMAR_CODE_POINTS_H_

#include <cstdint>
#include <string>
#include <vector>

namespace facet {

struct CodePointRange {
  char32_t low = 0;
  char32_t high = 0;  // inclusive
};

// Sorted, disjoint and without surrogates, once normalized.
using CodePoints = std::vector<CodePointRange>;

CodePoints Normalized(CodePoints ranges);
// Every character that is not in `ranges`.
CodePoints Complement(CodePoints ranges);
CodePoints Intersection(const CodePoints& x, const CodePoints& y);

struct ByteRange {
  uint8_t low = 0;
  uint8_t high = 0;
};

// The UTF-8 forms of normalized `ranges`: each element is one to four ranges of
// bytes in a row, and no two elements have a text in common.
std::vector<std::vector<ByteRange>> Utf8Forms(const CodePoints& ranges);

// REQUIRES: `value` is a character, not a surrogate.
void AppendUtf8(char32_t value, std::string* text);

}  // namespace facet

#endif  // FACET_RUNTIME_GRAMMAR_CODE_POINTS_H_
