// Conversations as OpenAI's clients send them, checked and brought into the
// shape that runtime/chat renders.
#ifndef FACET_RPC_OPENAI_CHAT_MESSAGES_H_
#define FACET_RPC_OPENAI_CHAT_MESSAGES_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "rpc/openai/api_json.h"

namespace facet {

// `messages`, a list. Arguments of calls become objects, system messages one
// text; other text parts stay as they are.
//
// Errors: INVALID_ARGUMENT naming the place, e.g. "messages[1].content[0].type:
// ...", for unknown roles and fields, for pictures, audio and files, and for
// arguments that are not a JSON object.
absl::StatusOr<ApiJson> CheckMessages(const ApiJson& messages);

// `tools`, a list of {"type": "function", "function": {...}}. `flat`: as in
// /v1/responses, where the function's fields stand beside the type; the result
// is the nested form in both cases. Names are checked and unique.
absl::StatusOr<ApiJson> CheckTools(const ApiJson& tools, bool flat);

// The arguments of a call in history, a JSON object printed as text or the
// object itself.
absl::StatusOr<ApiJson> ParseArguments(const ApiJson& arguments,
                                       const std::string& path);

// Whether `name` may be a function's: 1 to 64 letters, digits, _, -, . and :.
bool IsFunctionName(absl::string_view name);

}  // namespace facet

#endif  // FACET_RPC_OPENAI_CHAT_MESSAGES_H_
