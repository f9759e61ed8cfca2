#include "rpc/openai/responses_request.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "rpc/openai/chat_messages.h"
#include "rpc/openai/chat_request.h"
#include "rpc/openai/field_table.h"
#include "rpc/openai/thinking_fields.h"

namespace facet {
namespace {

// Gathers items into messages.
class InputReader {
 public:
  explicit InputReader(const std::string& instructions) {
    if (!instructions.empty()) {
      messages_.push_back({{"role", "system"}, {"content", instructions}});
    }
  }

  absl::Status Add(const ApiJson& item, const std::string& path) {
    if (!item.is_object()) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, ": expected an object, found ", KindOf(item)));
    }
    RequestReader reader(item, path);
    std::string type = "message";
    reader.Read("type", &type);
    if (!reader.ok()) return reader.status();
    if (type == "message") {
      Message(reader, path);
    } else if (type == "function_call") {
      Call(reader);
    } else if (type == "function_call_output") {
      Output(reader);
    } else if (type == "reasoning") {
      Reasoning(reader, path);
    } else {
      reader.Fail("type", absl::StrCat("\"", type,
                                       "\" is not supported, legal is message, "
                                       "function_call, function_call_output, "
                                       "reasoning"));
    }
    return reader.status();
  }

  ApiJson Messages() {
    CloseAssistant();
    return std::move(messages_);
  }

 private:
  // The text of a content: a string, or a list of parts of the named types.
  std::string Text(RequestReader& reader, const std::string& path,
                   absl::string_view types, const char* name = "content") {
    const ApiJson* content = reader.Find(name);
    if (content == nullptr) return "";
    if (content->is_string()) return content->get<std::string>();
    std::string text;
    reader.FindList(name);
    if (!reader.ok()) return "";
    for (size_t i = 0; i < content->size() && reader.ok(); ++i) {
      const std::string part_path = absl::StrCat(path, ".", name, "[", i, "]");
      if (!(*content)[i].is_object()) {
        reader.Fail(absl::StrCat(name, "[", i, "]"), "expected an object");
        break;
      }
      RequestReader part((*content)[i], part_path);
      if (part.ReadChoice("type", types).empty()) part.Fail("type", "missing");
      part.RefuseOthers("type text annotations logprobs");
      std::string piece;
      part.Read("text", &piece);
      text += piece;
      reader.Fail(part.status());
    }
    return text;
  }

  void Message(RequestReader& reader, const std::string& path) {
    reader.RefuseOthers("type role content id status phase");
    const std::string role =
        reader.ReadChoice("role", "user system developer assistant");
    if (role.empty()) reader.Fail("role", "missing");
    if (reader.Find("content") == nullptr) reader.Fail("content", "missing");
    const std::string text =
        Text(reader, path,
             role == "assistant" ? "output_text input_text"
                                 : "input_text output_text");
    if (role == "assistant") {
      // Behind calls, a text begins a message of its own.
      if (assistant_.contains("content")) CloseAssistant();
      OpenAssistant();
      assistant_["content"] = text;
    } else {
      CloseAssistant();
      messages_.push_back({{"role", role}, {"content", text}});
    }
  }

  void Call(RequestReader& reader) {
    reader.RefuseOthers("type call_id name arguments id status");
    std::string id, name;
    reader.Read("call_id", &id);
    reader.Read("name", &name);
    if (id.empty()) reader.Fail("call_id", "missing");
    if (name.empty()) reader.Fail("name", "missing");
    ApiJson arguments = ApiJson::object();
    if (const ApiJson* given = reader.Find("arguments")) {
      absl::StatusOr<ApiJson> parsed =
          ParseArguments(*given, reader.PathOf("arguments"));
      if (parsed.ok()) arguments = *std::move(parsed);
      reader.Fail(parsed.status());
    }
    OpenAssistant();
    assistant_["tool_calls"].push_back(
        {{"id", id},
         {"type", "function"},
         {"function", {{"name", name}, {"arguments", arguments}}}});
  }

  void Output(RequestReader& reader) {
    reader.RefuseOthers("type call_id output id status");
    std::string id;
    reader.Read("call_id", &id);
    if (id.empty()) reader.Fail("call_id", "missing");
    if (reader.Find("output") == nullptr) reader.Fail("output", "missing");
    const std::string output =
        Text(reader, reader.PathOf(""), "input_text output_text", "output");
    CloseAssistant();
    messages_.push_back(
        {{"role", "tool"}, {"tool_call_id", id}, {"content", output}});
  }

  void Reasoning(RequestReader& reader, const std::string& path) {
    reader.RefuseOthers("type id summary content encrypted_content status");
    const std::string thought = Text(reader, path, "reasoning_text");
    if (assistant_.contains("content") || assistant_.contains("tool_calls")) {
      CloseAssistant();
    }
    OpenAssistant();
    if (!thought.empty()) assistant_["reasoning_content"] = thought;
  }

  void OpenAssistant() {
    if (assistant_.is_null()) assistant_ = {{"role", "assistant"}};
  }

  void CloseAssistant() {
    if (assistant_.contains("content") || assistant_.contains("tool_calls")) {
      messages_.push_back(std::move(assistant_));
    }
    assistant_ = nullptr;
  }

  ApiJson messages_ = ApiJson::array();
  ApiJson assistant_;  // being gathered; null: none
};

void ReadInclude(RequestReader& reader, ResponsesRequest* request) {
  std::vector<std::string> include;
  reader.Read("include", &include);
  for (size_t i = 0; i < include.size(); ++i) {
    if (include[i] == "message.output_text.logprobs") {
      request->logprobs = true;
    } else if (include[i] != "reasoning.encrypted_content") {
      reader.Fail(absl::StrCat("include[", i, "]"),
                  absl::StrCat("\"", include[i], "\" is not supported"));
    }
  }
  SamplingOptions& sampling = request->fields.text.sampling;
  reader.ReadInteger("top_logprobs", &sampling.top_logprobs);
  if (sampling.top_logprobs != 0 && !request->logprobs) {
    reader.Fail("top_logprobs",
                "needs message.output_text.logprobs in include");
  }
  sampling.logprobs = request->logprobs;
}

void ReadText(RequestReader& reader, OutputFormat* format) {
  const ApiJson* text = reader.FindObject("text");
  if (text == nullptr) return;
  RequestReader inner(*text, "text");
  inner.RefuseOthers("format verbosity");
  inner.ReadChoice("verbosity", "medium");
  if (const ApiJson* object = inner.FindObject("format")) {
    OutputFormat other;
    ReadFormatObject(*object, "text.format", /*flat=*/true, inner, &other);
    if (format->kind != OutputKind::kFree && other.kind != OutputKind::kFree) {
      inner.Fail("format",
                 "an answer has one form, and structured_outputs "
                 "gives another");
    }
    if (other.kind != OutputKind::kFree) *format = other;
  }
  reader.Fail(inner.status());
}

std::string ReadEffort(RequestReader& reader) {
  const ApiJson* reasoning = reader.FindObject("reasoning");
  if (reasoning == nullptr) return "";
  RequestReader inner(*reasoning, "reasoning");
  inner.RefuseOthers("effort summary generate_summary");
  const std::string effort = inner.ReadChoice("effort", kEfforts);
  inner.ReadChoice("summary", "auto");
  inner.ReadChoice("generate_summary", "auto");
  reader.Fail(inner.status());
  return effort;
}

void ReadStreamOptions(RequestReader& reader) {
  const ApiJson* options = reader.FindObject("stream_options");
  if (options == nullptr) return;
  RequestReader inner(*options, "stream_options");
  inner.RefuseOthers("include_obfuscation");
  bool obfuscation = false;
  inner.Read("include_obfuscation", &obfuscation);
  if (obfuscation) inner.Fail("include_obfuscation", "only false");
  reader.Fail(inner.status());
}

// What a response says of its request.
ApiJson Echo(const ApiJson& json, const ResponsesRequest& request) {
  const auto given = [&](const char* name, ApiJson otherwise) {
    const auto found = json.find(name);
    return found == json.end() || found->is_null() ? otherwise : *found;
  };
  ApiJson echo;
  echo["instructions"] = given("instructions", nullptr);
  echo["max_output_tokens"] = given("max_output_tokens", nullptr);
  echo["max_tool_calls"] = given("max_tool_calls", nullptr);
  echo["metadata"] = given("metadata", ApiJson::object());
  echo["parallel_tool_calls"] = request.tools.parallel;
  echo["previous_response_id"] = nullptr;
  echo["reasoning"] = given("reasoning", ApiJson::object());
  if (!echo["reasoning"].contains("effort")) {
    echo["reasoning"]["effort"] = nullptr;
  }
  if (!echo["reasoning"].contains("summary")) {
    echo["reasoning"]["summary"] = nullptr;
  }
  echo["service_tier"] = "default";
  echo["store"] = false;
  echo["temperature"] = given("temperature", nullptr);
  echo["text"] = given("text", ApiJson::object());
  if (!echo["text"].contains("format")) {
    echo["text"]["format"] = {{"type", "text"}};
  }
  echo["tool_choice"] = request.tools.choice_given;
  echo["tools"] = given("tools", ApiJson::array());
  echo["top_logprobs"] = request.fields.text.sampling.top_logprobs;
  echo["top_p"] = given("top_p", nullptr);
  echo["truncation"] = "disabled";
  echo["user"] = given("user", nullptr);
  return echo;
}

}  // namespace

absl::StatusOr<ApiJson> MessagesOfInput(const ApiJson& input,
                                        const std::string& instructions) {
  InputReader reader(instructions);
  if (input.is_string()) {
    FACET_RETURN_IF_ERROR(
        reader.Add({{"role", "user"}, {"content", input}}, "input"));
    return reader.Messages();
  }
  if (!input.is_array() || input.empty()) {
    return absl::InvalidArgumentError(
        "input: expected a text or a list of at least one item");
  }
  for (size_t i = 0; i < input.size(); ++i) {
    FACET_RETURN_IF_ERROR(reader.Add(input[i], absl::StrCat("input[", i, "]")));
  }
  return reader.Messages();
}

absl::StatusOr<ResponsesRequest> ParseResponsesRequest(
    const std::string& body) {
  FACET_ASSIGN_OR_RETURN(const ApiJson json, ParseApiJson(body));
  FACET_RETURN_IF_ERROR(CheckFields(Endpoint::kResponses, json));
  RequestReader reader(json);
  ResponsesRequest request;
  TextRequest& text = request.fields.text;
  ReadGenerationFields(reader, &request.fields);
  reader.ReadInteger("max_output_tokens", &text.max_tokens);
  ReadInclude(reader, &request);
  ReadStreamOptions(reader);
  ReadOutputFormat(reader, &text.format);
  ReadText(reader, &text.format);
  ReadToolUse(reader, /*flat=*/true, &request.tools);
  bool add_generation_prompt = true;
  ThinkingFields thinking;
  ReadThinking(reader, ReadEffort(reader), &thinking, &add_generation_prompt);
  std::string instructions;
  reader.Read("instructions", &instructions);
  const ApiJson* input = reader.Find("input");
  if (input == nullptr) reader.Fail("input", "missing");
  FACET_RETURN_IF_ERROR(reader.status());

  FACET_ASSIGN_OR_RETURN(const ApiJson messages,
                         MessagesOfInput(*input, instructions));
  if (messages.empty()) {
    return absl::InvalidArgumentError("input: no message in it");
  }
  text.kind = PromptKind::kConversation;
  text.text = ConversationJson(messages, request.tools, true);
  text.enable_thinking = thinking.enabled;
  text.max_thought_tokens = thinking.budget;
  request.show_thoughts = thinking.shown;
  request.echo = Echo(json, request);
  return request;
}

}  // namespace facet
