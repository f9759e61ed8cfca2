// What has to be known of an automaton before texts may follow it.
#ifndef FACET_RUNTIME_GRAMMAR_AUTOMATON_ANALYSIS_H_
#define FACET_RUNTIME_GRAMMAR_AUTOMATON_ANALYSIS_H_

#include "absl/status/status.h"
#include "runtime/grammar/grammar_builder.h"
#include "runtime/grammar/lowering.h"

namespace facet {

// Fills in heights and byte classes, and makes repetitions of bodies that may
// be empty start at zero (the same texts, fewer readings).
//
// Errors:
//   INVALID_ARGUMENT    no text satisfies the grammar, or a rule can call
//                       itself before it has read anything
//   RESOURCE_EXHAUSTED  even the shortest text needs more than
//                       GrammarLimits::max_stack
absl::Status Analyze(const GrammarBuilder& builder, LoweredGrammar* lowered);

}  // namespace facet

#endif  // FACET_RUNTIME_GRAMMAR_AUTOMATON_ANALYSIS_H_
