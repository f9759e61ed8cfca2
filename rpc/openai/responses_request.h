// The body of POST /v1/responses: the part of it that agents use. Nothing is
// stored, so a conversation comes whole with each request.
#ifndef FACET_RPC_OPENAI_RESPONSES_REQUEST_H_
#define FACET_RPC_OPENAI_RESPONSES_REQUEST_H_

#include <string>

#include "absl/status/statusor.h"
#include "rpc/openai/generation_fields.h"
#include "rpc/openai/tool_choice.h"

namespace facet {

struct ResponsesRequest {
  GenerationFields fields;  // the prompt is the conversation
  ToolUse tools;
  bool show_thoughts = true;
  bool logprobs = false;
  // What the answer repeats of the request, as it was given.
  ApiJson echo;
};

// Errors: INVALID_ARGUMENT naming the field.
absl::StatusOr<ResponsesRequest> ParseResponsesRequest(const std::string& body);

// Input items as messages of the chat API: calls and thoughts join the message
// of the assistant they belong to.
//
// Errors: INVALID_ARGUMENT "input[2].type: ...".
absl::StatusOr<ApiJson> MessagesOfInput(const ApiJson& input,
                                        const std::string& instructions);

}  // namespace facet

#endif  // FACET_RPC_OPENAI_RESPONSES_REQUEST_H_
