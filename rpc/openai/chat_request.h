// The body of POST /v1/chat/completions.
#ifndef FACET_RPC_OPENAI_CHAT_REQUEST_H_
#define FACET_RPC_OPENAI_CHAT_REQUEST_H_

#include <string>

#include "absl/status/statusor.h"
#include "rpc/openai/generation_fields.h"
#include "rpc/openai/tool_choice.h"

namespace facet {

struct ChatRequest {
  GenerationFields fields;  // the prompt is the conversation
  ToolUse tools;
  bool show_thoughts = true;
  bool logprobs = false;
};

// Errors: INVALID_ARGUMENT naming the field.
absl::StatusOr<ChatRequest> ParseChatRequest(const std::string& body);

// What runtime/chat renders: messages and tools as CheckMessages() and
// CheckTools() give them.
std::string ConversationJson(const ApiJson& messages, const ToolUse& tools,
                             bool add_generation_prompt);

}  // namespace facet

#endif  // FACET_RPC_OPENAI_CHAT_REQUEST_H_
