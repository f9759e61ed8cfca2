// What regular expressions and EBNF write alike: character classes, escapes and
// counts.
#ifndef FACET_RUNTIME_GRAMMAR_PATTERN_SYNTAX_H_
#define FACET_RUNTIME_GRAMMAR_PATTERN_SYNTAX_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "runtime/grammar/code_points.h"
#include "runtime/grammar/grammar_limits.h"

namespace facet {

// A place in a text that is being parsed.
struct Cursor {
  absl::string_view text;  // valid UTF-8
  size_t at = 0;

  bool done() const { return at >= text.size(); }
  // The next byte; 0 at the end.
  char peek() const { return done() ? '\0' : text[at]; }
  bool Skip(absl::string_view expected) {
    if (text.substr(at, expected.size()) != expected) return false;
    at += expected.size();
    return true;
  }
  // REQUIRES: !done().
  char32_t NextCharacter();

  // "<what> at byte <at> of the pattern", as INVALID_ARGUMENT.
  absl::Status Error(absl::string_view what) const;
};

// An escape, from its backslash on: one character, or a class such as \d.
//
// \s is ASCII white space; \S leaves out what any standard calls white space.
absl::StatusOr<CodePoints> ReadEscape(Cursor* cursor);

// A class, from its `[` to its `]`.
absl::StatusOr<CodePoints> ReadClass(Cursor* cursor);

struct Repetition {
  int32_t min = 0;
  int32_t max = 0;  // or kUnbounded
};

// One of ? * + {n} {n,} {n,m}, if one stands here. A `{` that does not begin a
// count is left alone.
//
// Errors: INVALID_ARGUMENT for counts out of order, RESOURCE_EXHAUSTED for
// counts above GrammarLimits::max_repetition.
absl::StatusOr<std::optional<Repetition>> ReadRepetition(
    const GrammarLimits& limits, Cursor* cursor);

// OK when `text` is UTF-8 and within GrammarLimits::max_source_bytes.
absl::Status CheckSource(absl::string_view text, const GrammarLimits& limits);

}  // namespace facet

#endif  // FACET_RUNTIME_GRAMMAR_PATTERN_SYNTAX_H_
