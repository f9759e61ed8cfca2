// A compiled grammar: which texts an answer may be. Every front end (regular
// expression, EBNF, JSON Schema) ends in the same pushdown automaton over
// bytes; GrammarMatcher (matcher.h) follows one text through it and MaskCache
// (token_masks.h) says which tokens may come next.
#ifndef FACET_RUNTIME_GRAMMAR_GRAMMAR_H_
#define FACET_RUNTIME_GRAMMAR_GRAMMAR_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "runtime/grammar/grammar_limits.h"

namespace facet {

struct Automaton;

// Immutable, so threads may share one.
class Grammar {
 public:
  // `automaton` is complete and within limits: see GrammarBuilder.
  explicit Grammar(std::unique_ptr<const Automaton> automaton);
  ~Grammar();
  Grammar(const Grammar&) = delete;
  Grammar& operator=(const Grammar&) = delete;

  // Differs between any two grammars of this process.
  uint64_t id() const { return id_; }
  const Automaton& automaton() const { return *automaton_; }
  int64_t bytes() const;  // of memory

 private:
  uint64_t id_;
  std::unique_ptr<const Automaton> automaton_;
};

using GrammarPtr = std::shared_ptr<const Grammar>;

// All factories share their errors:
//   INVALID_ARGUMENT    not in the language named, or something in it that is
//                       not implemented: nothing is silently ignored. The
//                       message says where (JSON pointer and keyword, or line
//                       and column). Also a grammar that no text satisfies, or
//                       one that can call itself without reading anything.
//   RESOURCE_EXHAUSTED  a limit is exceeded; the message names it

// JSON values that satisfy a JSON Schema (draft 2020-12, and `definitions`,
// array-form `items` and `nullable` of older ones):
// - objects list their properties in declared order, optional ones may be
//   missing; without `additionalProperties`, an object that has `properties` is
//   closed (which satisfies the schema, and is what users of models expect);
// - white space is at most one space, or one line break with indentation, after
//   `{ [ ,` and before `} ]`, and at most one space after `:`;
// - numbers have at most 18 digits before and after the point and a two-digit
//   exponent, so that every parser reads them;
// - names, `enum` and `const` are written compactly and escape nothing that
// need
//   not be escaped;
// - `oneOf` needs alternatives that provably exclude each other;
// - not supported, besides what drafts rarely use: `not`, `if`, `uniqueItems`,
//   `contains`, `multipleOf` other than 1, lengths beside a pattern that does
//   not imply them.
absl::StatusOr<GrammarPtr> CompileJsonSchema(absl::string_view schema_json,
                                             const GrammarLimits& limits);

// Texts that match a regular expression as a whole: RE2's syntax over UTF-8
// (alternation, groups, counted and lazy repetition, classes, \d \w \s \xHH
// \uHHHH \x{H}). `^` and `$` are accepted at the ends. `.` is any character but
// a line feed. Look-around, back-references, \b, \p and flags are refused.
absl::StatusOr<GrammarPtr> CompileRegex(absl::string_view pattern,
                                        const GrammarLimits& limits);

// Texts derived from rule `root` of a grammar in GBNF notation:
//   name ::= "literal" [a-z] other ( a | b )? c* d+ e{2,5} .   # comment
absl::StatusOr<GrammarPtr> CompileEbnf(absl::string_view text,
                                       const GrammarLimits& limits);

// Any JSON object.
absl::StatusOr<GrammarPtr> CompileJsonObject(const GrammarLimits& limits = {});

// Exactly one of `choices`, each a non-empty UTF-8 text.
absl::StatusOr<GrammarPtr> CompileChoice(absl::Span<const std::string> choices,
                                         const GrammarLimits& limits);

}  // namespace facet

#endif  // FACET_RUNTIME_GRAMMAR_GRAMMAR_H_
