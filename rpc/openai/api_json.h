// The JSON of requests and answers: parsed within bounds, printed in order.
#ifndef FACET_RPC_OPENAI_API_JSON_H_
#define FACET_RPC_OPENAI_API_JSON_H_

#include <string>

#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"

namespace facet {

// Ordered, so that tools reach the prompt as their author wrote them.
using ApiJson = nlohmann::ordered_json;

// Lists and objects inside one another; more is refused.
inline constexpr int kMaxApiJsonDepth = 64;

// The object that `body` is.
//
// Errors: INVALID_ARGUMENT for what is not UTF-8, not JSON (saying where), not
// an object, nested too deeply, or gives a field of the object twice.
absl::StatusOr<ApiJson> ParseApiJson(const std::string& body);

// Compact; bytes that are not UTF-8 become U+FFFD.
std::string PrintApiJson(const ApiJson& json);

}  // namespace facet

#endif  // FACET_RPC_OPENAI_API_JSON_H_
