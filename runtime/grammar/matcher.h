// Where one text stands in a grammar. A matcher keeps every way the text so far
// can be read (an ambiguous grammar has several), as stacks that share their
// lower parts.
#ifndef FACET_RUNTIME_GRAMMAR_MATCHER_H_
#define FACET_RUNTIME_GRAMMAR_MATCHER_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "runtime/grammar/grammar.h"
#include "runtime/grammar/readings.h"

namespace facet {

// A value: a copy is an independent position, and costs a few hundred bytes.
// To try something and take it back, try it on a copy.
class GrammarMatcher {
 public:
  // At the beginning of a text.
  explicit GrammarMatcher(GrammarPtr grammar);

  // Reads `bytes`, which may end inside a UTF-8 character.
  //
  // Errors (the matcher stays where it was):
  //   INVALID_ARGUMENT    no text of the grammar goes on like this
  //   RESOURCE_EXHAUSTED  the text can be read in more ways than
  //                       GrammarLimits::max_readings
  absl::Status Accept(absl::string_view bytes);

  // The text so far is complete.
  bool CanEnd() const { return readings_.can_end; }
  // The text so far is complete and nothing may follow.
  bool IsFinished() const {
    return readings_.can_end && readings_.configs.empty();
  }

  // Two matchers of one grammar with equal keys allow the same continuations of
  // up to `horizon` bytes: counters count no further than that.
  std::string StateKey(int horizon) const;

  const Grammar& grammar() const { return *grammar_; }
  const StackPool& stacks() const { return stacks_; }
  const Readings& readings() const { return readings_; }

 private:
  GrammarPtr grammar_;
  StackPool stacks_;  // only what `readings_` needs
  Readings readings_;
};

}  // namespace facet

#endif  // FACET_RUNTIME_GRAMMAR_MATCHER_H_
