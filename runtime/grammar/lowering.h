// From expressions to the states of an automaton.
#ifndef FACET_RUNTIME_GRAMMAR_LOWERING_H_
#define FACET_RUNTIME_GRAMMAR_LOWERING_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/grammar/automaton.h"
#include "runtime/grammar/grammar_builder.h"

namespace facet {

struct LoweredGrammar {
  Automaton automaton;           // without heights and byte classes
  std::vector<int32_t> rule_of;  // [states]: whose state it is, for messages
};

// The rules that `root` needs, no others.
//
// Errors: RESOURCE_EXHAUSTED above GrammarLimits::max_states.
absl::StatusOr<LoweredGrammar> LowerGrammar(const GrammarBuilder& builder,
                                            int32_t root);

}  // namespace facet

#endif  // FACET_RUNTIME_GRAMMAR_LOWERING_H_
