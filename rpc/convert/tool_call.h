// Tool calls as the model writes them, as JSON.
#ifndef FACET_RPC_CONVERT_TOOL_CALL_H_
#define FACET_RPC_CONVERT_TOOL_CALL_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "nlohmann/json.hpp"

namespace facet {

struct ToolCall {
  std::string name;
  nlohmann::ordered_json arguments;  // an object
};

// Reads call:NAME{key:VALUE,...}, where a string stands between two <|"|>, keys
// are bare, null is None, and lists and objects are as in JSON. A value that is
// none of these is taken as the string it looks like, since a model may write
// anything.
//
// Errors: INVALID_ARGUMENT where brackets or strings do not close.
absl::StatusOr<ToolCall> ParseToolCall(absl::string_view text);

}  // namespace facet

#endif  // FACET_RPC_CONVERT_TOOL_CALL_H_
