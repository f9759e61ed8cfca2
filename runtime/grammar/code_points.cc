#include "runtime/grammar/code_points.h"

#include <algorithm>

namespace facet {
namespace {

constexpr char32_t kLast = 0x10FFFF;

void AppendForms(char32_t low, char32_t high,
                 std::vector<std::vector<ByteRange>>* forms) {
  // All characters of one form have the same number of bytes ...
  for (const char32_t last : {0x7Fu, 0x7FFu, 0xFFFFu}) {
    if (low <= last && high > last) {
      AppendForms(low, last, forms);
      AppendForms(last + 1, high, forms);
      return;
    }
  }
  // ... and where their leading bytes differ, all trailing bytes occur.
  if (low > 0x7F) {
    for (int bytes = 1; bytes < 4; ++bytes) {
      const char32_t trailing = (char32_t{1} << 6 * bytes) - 1;
      if ((low & ~trailing) == (high & ~trailing)) break;
      if ((low & trailing) != 0) {
        AppendForms(low, low | trailing, forms);
        AppendForms((low | trailing) + 1, high, forms);
        return;
      }
      if ((high & trailing) != trailing) {
        AppendForms(low, (high & ~trailing) - 1, forms);
        AppendForms(high & ~trailing, high, forms);
        return;
      }
    }
  }
  std::string first, last;
  AppendUtf8(low, &first);
  AppendUtf8(high, &last);
  std::vector<ByteRange> form(first.size());
  for (size_t i = 0; i < form.size(); ++i) {
    form[i] = {static_cast<uint8_t>(first[i]), static_cast<uint8_t>(last[i])};
  }
  forms->push_back(std::move(form));
}

}  // namespace

CodePoints Normalized(CodePoints ranges) {
  CodePoints split;
  for (const CodePointRange& range : ranges) {
    const char32_t high = std::min(range.high, kLast);
    if (range.low <= std::min<char32_t>(high, 0xD7FF)) {
      split.push_back({range.low, std::min<char32_t>(high, 0xD7FF)});
    }
    if (high >= 0xE000 && range.low <= high) {
      split.push_back({std::max<char32_t>(range.low, 0xE000), high});
    }
  }
  std::sort(split.begin(), split.end(),
            [](const CodePointRange& x, const CodePointRange& y) {
              return x.low < y.low;
            });
  CodePoints merged;
  for (const CodePointRange& range : split) {
    if (!merged.empty() && range.low <= merged.back().high + 1) {
      merged.back().high = std::max(merged.back().high, range.high);
    } else {
      merged.push_back(range);
    }
  }
  return merged;
}

CodePoints Complement(CodePoints ranges) {
  CodePoints rest;
  char32_t next = 0;
  for (const CodePointRange& range : Normalized(std::move(ranges))) {
    if (range.low > next) rest.push_back({next, range.low - 1});
    next = range.high + 1;
  }
  if (next <= kLast) rest.push_back({next, kLast});
  return Normalized(std::move(rest));
}

CodePoints Intersection(const CodePoints& x, const CodePoints& y) {
  CodePoints common;
  for (size_t i = 0, j = 0; i < x.size() && j < y.size();) {
    const char32_t low = std::max(x[i].low, y[j].low);
    const char32_t high = std::min(x[i].high, y[j].high);
    if (low <= high) common.push_back({low, high});
    if (x[i].high < y[j].high) {
      ++i;
    } else {
      ++j;
    }
  }
  return common;
}

std::vector<std::vector<ByteRange>> Utf8Forms(const CodePoints& ranges) {
  std::vector<std::vector<ByteRange>> forms;
  for (const CodePointRange& range : ranges) {
    AppendForms(range.low, range.high, &forms);
  }
  return forms;
}

void AppendUtf8(char32_t value, std::string* text) {
  const auto append = [text](char32_t byte) {
    text->push_back(static_cast<char>(byte));
  };
  if (value < 0x80) {
    append(value);
  } else if (value < 0x800) {
    append(0xC0 | value >> 6);
    append(0x80 | (value & 0x3F));
  } else if (value < 0x10000) {
    append(0xE0 | value >> 12);
    append(0x80 | (value >> 6 & 0x3F));
    append(0x80 | (value & 0x3F));
  } else {
    append(0xF0 | value >> 18);
    append(0x80 | (value >> 12 & 0x3F));
    append(0x80 | (value >> 6 & 0x3F));
    append(0x80 | (value & 0x3F));
  }
}

}  // namespace facet
