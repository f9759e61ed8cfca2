#include "rpc/openai/chat_request.h"

#include <utility>

#include "kernels/base/status_macros.h"
#include "rpc/openai/chat_messages.h"
#include "rpc/openai/field_table.h"
#include "rpc/openai/thinking_fields.h"

namespace facet {
namespace {

void ReadLogprobs(RequestReader& reader, ChatRequest* request) {
  SamplingOptions& sampling = request->fields.text.sampling;
  reader.Read("logprobs", &request->logprobs);
  reader.ReadInteger("top_logprobs", &sampling.top_logprobs);
  if (sampling.top_logprobs != 0 && !request->logprobs) {
    reader.Fail("top_logprobs", "needs logprobs = true");
  }
  sampling.logprobs = request->logprobs;
}

void ReadLength(RequestReader& reader, TextRequest* text) {
  std::optional<int64_t> other;
  reader.ReadInteger("max_completion_tokens", &other);
  if (!other.has_value()) return;
  if (text->max_tokens.has_value() && *text->max_tokens != *other) {
    reader.Fail("max_completion_tokens", "contradicts max_tokens");
  }
  text->max_tokens = other;
}

}  // namespace

std::string ConversationJson(const ApiJson& messages, const ToolUse& tools,
                             bool add_generation_prompt) {
  ApiJson conversation;
  conversation["messages"] = messages;
  if (tools.declared()) conversation["tools"] = tools.tools;
  if (!add_generation_prompt) conversation["add_generation_prompt"] = false;
  return PrintApiJson(conversation);
}

absl::StatusOr<ChatRequest> ParseChatRequest(const std::string& body) {
  FACET_ASSIGN_OR_RETURN(const ApiJson json, ParseApiJson(body));
  FACET_RETURN_IF_ERROR(CheckFields(Endpoint::kChatCompletions, json));
  RequestReader reader(json);
  ChatRequest request;
  TextRequest& text = request.fields.text;
  ReadGenerationFields(reader, &request.fields);
  ReadCompletionFields(reader, &request.fields);
  ReadLength(reader, &text);
  ReadLogprobs(reader, &request);
  ReadOutputFormat(reader, &text.format);
  ReadToolUse(reader, /*flat=*/false, &request.tools);
  bool add_generation_prompt = true;
  reader.Read("add_generation_prompt", &add_generation_prompt);
  ThinkingFields thinking;
  ReadThinking(reader, "", &thinking, &add_generation_prompt);
  FACET_RETURN_IF_ERROR(reader.status());

  const ApiJson* messages = reader.Find("messages");
  if (messages == nullptr) {
    return absl::InvalidArgumentError("messages: missing");
  }
  FACET_ASSIGN_OR_RETURN(const ApiJson checked, CheckMessages(*messages));
  text.kind = PromptKind::kConversation;
  text.text = ConversationJson(checked, request.tools, add_generation_prompt);
  text.enable_thinking = thinking.enabled;
  text.max_thought_tokens = thinking.budget;
  request.show_thoughts = thinking.shown;
  return request;
}

}  // namespace facet
