// Files that users hand to the command.
#ifndef FACET_RPC_CLI_INPUT_FILES_H_
#define FACET_RPC_CLI_INPUT_FILES_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"

namespace facet {

// The whole of a file, "-" for stdin. Errors: NOT_FOUND or INVALID_ARGUMENT
// naming the file and the system's reason; INVALID_ARGUMENT above 1 GiB.
absl::StatusOr<std::string> ReadInput(const std::string& path);

// `text` as JSON; `name` tells in an error where it came from. Errors:
// INVALID_ARGUMENT with line and column.
absl::StatusOr<nlohmann::json> ParseJson(const std::string& text,
                                         const std::string& name);

// A JSON array of token ids. `name` says which in an error.
absl::StatusOr<std::vector<int32_t>> ParseIds(const nlohmann::json& json,
                                              const std::string& name);

// {"prompts": [[ids...], {"ids": [ids...]}, ...]} in the file at `path`.
//
// Errors: those of ReadInput(); INVALID_ARGUMENT naming file and prompt, for
// prompts with media too.
absl::StatusOr<std::vector<std::vector<int32_t>>> ReadPrompts(
    const std::string& path);

}  // namespace facet

#endif  // FACET_RPC_CLI_INPUT_FILES_H_
