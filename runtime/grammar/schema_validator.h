// A plain JSON Schema validator for tests: it shares no code with the compiler
// and covers the keywords that the tests' schemas use.
#ifndef FACET_RUNTIME_GRAMMAR_SCHEMA_VALIDATOR_H_
#define FACET_RUNTIME_GRAMMAR_SCHEMA_VALIDATOR_H_

#include <string>

#include "nlohmann/json.hpp"

namespace facet {

// Empty when `value` satisfies `schema`, a part of `document`; otherwise the
// keyword that fails.
std::string WhyInvalid(const nlohmann::json& document,
                       const nlohmann::json& schema,
                       const nlohmann::json& value);

}  // namespace facet

#endif  // FACET_RUNTIME_GRAMMAR_SCHEMA_VALIDATOR_H_
