// What compiling and following a grammar may cost. Grammars come from users, so
// every one of these is reached by somebody on purpose: beyond a limit there is
// an error, never a long wait or a large allocation.
#ifndef FACET_RUNTIME_GRAMMAR_GRAMMAR_LIMITS_H_
#define FACET_RUNTIME_GRAMMAR_GRAMMAR_LIMITS_H_

#include <cstdint>

namespace facet {

struct GrammarLimits {
  int64_t max_source_bytes = 256 << 10;  // of a schema, pattern or grammar
  int max_nesting = 128;     // brackets, groups or values inside one another
  int max_states = 200'000;  // of the automaton, about 24 bytes each
  int max_rules = 20'000;    // named rules, or distinct sub-schemas
  int max_repetition = 100'000;  // a count in {m,n}, maxLength, maxItems
  int64_t max_nested_repetition = 1'000'000;  // product of nested {m,n}
  int max_alternatives = 1'000;  // combinations of anyOf groups in one schema
  int max_stack = 128;           // open rules and counters in one reading
  int max_readings = 4'096;  // of an ambiguous text that are followed at once
};

}  // namespace facet

#endif  // FACET_RUNTIME_GRAMMAR_GRAMMAR_LIMITS_H_
