#include "rpc/openai/tokenize_request.h"

#include "kernels/base/status_macros.h"
#include "rpc/openai/chat_messages.h"
#include "rpc/openai/chat_request.h"
#include "rpc/openai/field_table.h"
#include "rpc/openai/thinking_fields.h"

namespace facet {

absl::StatusOr<TokenizeRequest> ParseTokenizeRequest(const std::string& body) {
  FACET_ASSIGN_OR_RETURN(const ApiJson json, ParseApiJson(body));
  FACET_RETURN_IF_ERROR(CheckFields(Endpoint::kTokenize, json));
  RequestReader reader(json);
  TokenizeRequest request;
  reader.Read("model", &request.model);
  reader.Read("return_token_strs", &request.return_token_strings);
  reader.Read("add_special_tokens", &request.add_special_tokens);
  const ApiJson* messages = reader.Find("messages");
  const ApiJson* prompt = reader.Find("prompt");
  if ((messages == nullptr) == (prompt == nullptr)) {
    reader.Fail("prompt", "expected one of prompt and messages");
  }
  ToolUse tools;
  ReadToolUse(reader, /*flat=*/false, &tools);
  bool add_generation_prompt = true;
  reader.Read("add_generation_prompt", &add_generation_prompt);
  ThinkingFields thinking;
  ReadThinking(reader, "", &thinking, &add_generation_prompt);
  if (prompt != nullptr) {
    reader.Read("prompt", &request.text.text);
    request.text.kind = PromptKind::kText;
  }
  FACET_RETURN_IF_ERROR(reader.status());
  if (messages != nullptr) {
    FACET_ASSIGN_OR_RETURN(const ApiJson checked, CheckMessages(*messages));
    request.text.kind = PromptKind::kConversation;
    request.text.text = ConversationJson(checked, tools, add_generation_prompt);
    request.text.enable_thinking = thinking.enabled;
  }
  return request;
}

absl::StatusOr<DetokenizeRequest> ParseDetokenizeRequest(
    const std::string& body) {
  FACET_ASSIGN_OR_RETURN(const ApiJson json, ParseApiJson(body));
  FACET_RETURN_IF_ERROR(CheckFields(Endpoint::kDetokenize, json));
  RequestReader reader(json);
  DetokenizeRequest request;
  reader.Read("model", &request.model);
  reader.Read("tokens", &request.tokens);
  reader.Read("skip_special_tokens", &request.skip_special_tokens);
  if (reader.Find("tokens") == nullptr) reader.Fail("tokens", "missing");
  FACET_RETURN_IF_ERROR(reader.status());
  return request;
}

}  // namespace facet
