// Schemas as rules of a larger grammar.
#ifndef FACET_RUNTIME_GRAMMAR_JSON_SCHEMA_H_
#define FACET_RUNTIME_GRAMMAR_JSON_SCHEMA_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "runtime/grammar/grammar_builder.h"
#include "runtime/grammar/json_text.h"
#include "runtime/grammar/json_value.h"

namespace facet {

// A new rule of `builder`: the values that satisfy `schema`.
//
// Errors: those of CompileJsonSchema().
absl::StatusOr<int32_t> AddSchema(const JsonValue& schema, ValueSyntax syntax,
                                  GrammarBuilder* builder);

// The same for the objects alone that satisfy `schema`, as a call has them.
absl::StatusOr<int32_t> AddArguments(const JsonValue& schema,
                                     GrammarBuilder* builder);

}  // namespace facet

#endif  // FACET_RUNTIME_GRAMMAR_JSON_SCHEMA_H_
