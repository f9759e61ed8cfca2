#include "rpc/convert/chat_convert.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "kernels/base/status_macros.h"
#include "rpc/convert/text_convert.h"
#include "rpc/openai/api_json.h"
#include "rpc/openai/chat_messages.h"
#include "rpc/openai/chat_request.h"
#include "rpc/openai/random_id.h"
#include "rpc/openai/request_reader.h"
#include "rpc/openai/tool_call_form.h"

namespace facet {
namespace {

// `status` in the names of the protocol's fields.
absl::Status InFields(const absl::Status& status) {
  if (status.ok()) return status;
  return absl::Status(
      status.code(),
      absl::StrReplaceAll(status.message(),
                          {{".function.arguments:", ".arguments_json:"},
                           {".function.name:", ".name:"},
                           {".reasoning_content:", ".thought:"},
                           {".parameters:", ".parameters_json:"}}));
}

const char* RoleName(v1::ChatRole role) {
  switch (role) {
    case v1::CHAT_ROLE_SYSTEM:
      return "system";
    case v1::CHAT_ROLE_USER:
      return "user";
    case v1::CHAT_ROLE_ASSISTANT:
      return "assistant";
    case v1::CHAT_ROLE_TOOL:
      return "tool";
    case v1::CHAT_ROLE_UNSPECIFIED:
      break;
  }
  return "";
}

ApiJson MessageJson(const v1::ChatMessage& from) {
  ApiJson message;
  if (from.has_role()) message["role"] = RoleName(from.role());
  if (from.has_content()) message["content"] = from.content();
  if (from.has_thought()) message["reasoning_content"] = from.thought();
  if (from.has_tool_call_id()) message["tool_call_id"] = from.tool_call_id();
  if (from.has_name()) message["name"] = from.name();
  for (const v1::ChatToolCall& call : from.tool_calls()) {
    message["tool_calls"].push_back(
        {{"id", call.id()},
         {"type", "function"},
         {"function",
          {{"name", call.name()}, {"arguments", call.arguments_json()}}}});
  }
  return message;
}

absl::StatusOr<ApiJson> ToolJson(const v1::ChatTool& from,
                                 const std::string& place) {
  ApiJson tool = {{"type", "function"}, {"name", from.name()}};
  if (from.has_description()) tool["description"] = from.description();
  if (from.has_strict()) tool["strict"] = from.strict();
  if (from.has_parameters_json()) {
    absl::StatusOr<ApiJson> schema = ParseApiJson(from.parameters_json());
    if (!schema.ok()) {
      return Annotate(schema.status(), absl::StrCat(place, ".parameters_json"));
    }
    tool["parameters"] = *std::move(schema);
  }
  return tool;
}

absl::StatusOr<ApiJson> ToolChoiceJson(const v1::ChatRequest& request) {
  if (!request.tool_name().empty()) {
    if (request.tool_choice() != v1::TOOL_CHOICE_REQUIRED) {
      return absl::InvalidArgumentError(
          "tool_name: only with tool_choice = TOOL_CHOICE_REQUIRED");
    }
    return ApiJson{{"type", "function"}, {"name", request.tool_name()}};
  }
  switch (request.tool_choice()) {
    case v1::TOOL_CHOICE_NONE:
      return ApiJson("none");
    case v1::TOOL_CHOICE_REQUIRED:
      return ApiJson("required");
    case v1::TOOL_CHOICE_AUTO:
      break;
  }
  return ApiJson("auto");
}

}  // namespace

absl::StatusOr<ChatCall> FromProto(const v1::ChatRequest& request) {
  if (request.options().prompt_case() != v1::GenerateRequest::PROMPT_NOT_SET) {
    return absl::InvalidArgumentError(
        "options: the prompt is messages, give no other");
  }
  ApiJson body;
  body["messages"] = ApiJson::array();
  for (const v1::ChatMessage& message : request.messages()) {
    body["messages"].push_back(MessageJson(message));
  }
  for (int i = 0; i < request.tools_size(); ++i) {
    FACET_ASSIGN_OR_RETURN(
        ApiJson tool,
        ToolJson(request.tools(i), absl::StrCat("tools[", i, "]")));
    body["tools"].push_back(std::move(tool));
  }
  FACET_ASSIGN_OR_RETURN(body["tool_choice"], ToolChoiceJson(request));
  if (request.has_parallel_tool_calls()) {
    body["parallel_tool_calls"] = request.parallel_tool_calls();
  }

  ChatCall call;
  RequestReader reader(body);
  ReadToolUse(reader, /*flat=*/true, &call.tools);
  FACET_RETURN_IF_ERROR(InFields(reader.status()));
  const absl::StatusOr<ApiJson> messages = CheckMessages(body["messages"]);
  if (!messages.ok()) return InFields(messages.status());
  call.text = FromProto(request.options());
  call.text.kind = PromptKind::kConversation;
  call.text.text = ConversationJson(*messages, call.tools,
                                    /*add_generation_prompt=*/true);
  FACET_RETURN_IF_ERROR(InFields(ApplyToolUse(call.tools, &call.text.format)));
  return call;
}

ChatAnswers::ChatAnswers(const Tokenizer* tokenizer,
                         const GenerateRequest& request, bool has_tools,
                         const RequestKey* key) {
  if (key != nullptr) key_ = *key;
  for (int i = 0; i < request.n; ++i) {
    readers_.emplace_back(tokenizer, request, has_tools);
  }
}

std::string ChatAnswers::CallId(int answer, int call) const {
  constexpr char kPrefix[] = "call_";
  return key_.has_value()
             ? KeyedId(absl::StrCat(kPrefix, answer, "_"), *key_, call)
             : RandomId(kPrefix);
}

void ChatAnswers::AppendToProto(const TextEvent& event, bool logprobs,
                                v1::ChatResponse* response) {
  AnswerReader& reader = readers_[event.index];
  std::vector<AnswerEvent> events;
  std::vector<SampledToken> content_tokens;
  reader.Take(event, &events, &content_tokens);
  for (AnswerEvent& from : events) {
    v1::ChatEvent* const to = response->add_events();
    switch (from.kind) {
      case AnswerEventKind::kThought:
        to->set_thought(std::move(from.text));
        break;
      case AnswerEventKind::kContent:
        to->set_content(std::move(from.text));
        break;
      case AnswerEventKind::kCallBegin:
        to->mutable_call_begin()->set_call(from.call);
        to->mutable_call_begin()->set_id(CallId(event.index, from.call));
        to->mutable_call_begin()->set_name(std::move(from.text));
        break;
      case AnswerEventKind::kArguments:
        to->mutable_call_arguments()->set_call(from.call);
        to->mutable_call_arguments()->set_json(std::move(from.text));
        break;
      case AnswerEventKind::kCallEnd:
        to->mutable_call_end()->set_call(from.call);
        to->mutable_call_end()->set_malformed(from.malformed);
        break;
    }
  }
  // The rest is as in an answer without parts.
  v1::GenerateResponse plain;
  TextEvent bare = event;
  bare.text.clear();
  bare.parts.clear();
  facet::AppendToProto(bare, logprobs, &plain);
  response->set_index(plain.index());
  if (logprobs) {
    for (v1::Token& token : *plain.mutable_tokens()) {
      *response->add_tokens() = std::move(token);
    }
  }
  if (!plain.has_finish_reason()) return;
  response->set_finish_reason(plain.finish_reason());
  response->set_called_tools(reader.called());
  *response->mutable_usage() = plain.usage();
}

}  // namespace facet
