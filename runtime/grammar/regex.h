// Regular expressions as expressions of a grammar.
#ifndef FACET_RUNTIME_GRAMMAR_REGEX_H_
#define FACET_RUNTIME_GRAMMAR_REGEX_H_

#include <cstdint>
#include <functional>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "runtime/grammar/grammar_builder.h"

namespace facet {

// How the characters of a pattern appear in the answer.
struct RegexStyle {
  // An expression for one character of a set, e.g. escaped for JSON.
  std::function<Expr(const CodePoints&)> encode;
  CodePoints not_dot = {{'\n', '\n'}};  // what `.` leaves out
};

struct RegexBranch {
  Expr expr = 0;
  bool at_begin = false;  // ^ stands in front of it
  bool at_end = false;    // $ stands behind it
};

struct ParsedRegex {
  std::vector<RegexBranch> branches;  // one of them matches
  // Characters that a match has at least and at most.
  int64_t min_length = 0;
  int64_t max_length = 0;  // or kUnbounded
};

// Errors: those of CompileRegex(); messages name the byte of the pattern.
absl::StatusOr<ParsedRegex> ParseRegex(absl::string_view pattern,
                                       const RegexStyle& style,
                                       GrammarBuilder* builder);

}  // namespace facet

#endif  // FACET_RUNTIME_GRAMMAR_REGEX_H_
