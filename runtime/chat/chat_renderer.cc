#include "runtime/chat/chat_renderer.h"

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "runtime/chat/python_text.h"
#include "runtime/chat/template_value.h"
#include "runtime/chat/tool_text.h"

namespace facet {
namespace {

using Json = TemplateValue::Json;

// Deeper conversations are not rendered: the recursion would follow.
constexpr int kMaxNesting = 100;

constexpr absl::string_view kOpenThought = "<|channel>";
constexpr absl::string_view kCloseThought = "<channel|>";

// `text` without its thoughts. One that is not closed reaches to the end.
std::string WithoutThoughts(absl::string_view text) {
  std::string answer;
  while (true) {
    const size_t close = text.find(kCloseThought);
    const absl::string_view part = text.substr(0, close);
    const absl::string_view spoken = part.substr(0, part.find(kOpenThought));
    answer.append(spoken.data(), spoken.size());
    if (close == text.npos) break;
    text.remove_prefix(close + kCloseThought.size());
  }
  return std::string(PythonStrip(answer));
}

// The thoughts of a message, which clients send under several names.
TemplateValue ReasoningContent(TemplateValue message) {
  for (const char* name : {"reasoning_content", "thinking", "reasoning"}) {
    const TemplateValue value = message.Get(name);
    if (value.is_defined() && !value.is_none()) return value;
  }
  return TemplateValue();
}

class ChatRenderer {
 public:
  ChatRenderer(const ChatDialect& dialect, const Json& conversation)
      : dialect_(dialect),
        conversation_(&conversation),
        messages_(conversation_.Get("messages")),
        thinking_(conversation_.Get("enable_thinking").is_true()) {}

  absl::StatusOr<PromptText> Render();

 private:
  // What the last turn ended in, as far as the next one depends on it.
  enum class Ending { kOther, kCalls, kResponses };

  absl::Status SystemBlock();
  absl::Status Turn(int64_t index);
  absl::Status Thoughts(int64_t index, TemplateValue message,
                        const FieldPath& path);
  absl::Status Calls(TemplateValue calls, const FieldPath& path);
  absl::Status Responses(TemplateValue responses, const FieldPath& path);
  absl::Status FollowingResponses(int64_t index, TemplateValue calls);
  absl::Status ToolMessage(TemplateValue message, TemplateValue calls,
                           const FieldPath& path);
  absl::Status Content(TemplateValue content, bool model,
                       const FieldPath& path);
  absl::Status Part(TemplateValue part, bool model, const FieldPath& path);
  absl::Status Spoken(TemplateValue text, bool model, const FieldPath& path);
  void EndOfTurn(TemplateValue message);
  void GenerationPrompt();

  int64_t message_count() const { return messages_.json()->size(); }
  TemplateValue message(int64_t index) const {
    return TemplateValue(&(*messages_.json())[index]);
  }

  const ChatDialect dialect_;
  const TemplateValue conversation_;
  const TemplateValue messages_;
  const bool thinking_;
  const FieldPath messages_path_{"messages"};
  PromptText prompt_;
  int64_t first_ = 0;  // the first message behind the system block
  int64_t last_user_ = -1;
  TemplateValue last_role_;  // of the last turn, tool messages left out
  Ending ending_ = Ending::kOther;
  bool responses_written_ = false;  // in this turn
};

absl::StatusOr<PromptText> ChatRenderer::Render() {
  if (!messages_.is_list() || messages_.json()->empty()) {
    return Unexpected(messages_path_, "a list of at least one message",
                      messages_);
  }
  prompt_.Format("<bos>");
  FACET_RETURN_IF_ERROR(SystemBlock());
  for (int64_t i = first_; i < message_count(); ++i) {
    if (message(i).Get("role").Is("user")) last_user_ = i;
  }
  for (int64_t i = first_; i < message_count(); ++i) {
    FACET_RETURN_IF_ERROR(Turn(i));
  }
  const TemplateValue generate = conversation_.Get("add_generation_prompt");
  if (!generate.is_defined() || generate.is_none() || generate.is_true()) {
    GenerationPrompt();
  }
  return std::move(prompt_);
}

absl::Status ChatRenderer::SystemBlock() {
  const TemplateValue tools = conversation_.Get("tools");
  const TemplateValue role = message(0).Get("role");
  const bool system = role.Is("system") || role.Is("developer");
  if (!thinking_ && !tools.is_true() && !system) return absl::OkStatus();
  prompt_.Format("<|turn>system\n");
  if (thinking_) {
    prompt_.Format(dialect_.newline_after_think ? "<|think|>\n" : "<|think|>");
  }
  if (system) {
    prompt_.Content(PythonStrip(message(0).Get("content").Text()));
    first_ = 1;
  }
  if (tools.is_true()) {
    FACET_RETURN_IF_ERROR(
        ForEach(tools, FieldPath("tools"),
                [this](TemplateValue tool, const FieldPath& path) {
                  return AppendToolDeclaration(dialect_, tool, path, &prompt_);
                }));
  }
  prompt_.Format("<turn|>\n");
  return absl::OkStatus();
}

absl::Status ChatRenderer::Turn(int64_t index) {
  const TemplateValue message = this->message(index);
  const FieldPath path(&messages_path_, index);
  const TemplateValue role = message.Get("role");
  if (dialect_.responses_join_the_call && role.Is("tool")) {
    return absl::OkStatus();
  }
  const TemplateValue calls = message.Get("tool_calls");
  const bool model = role.Is("assistant") || role.Is("model");
  const bool continues = dialect_.responses_join_the_call
                             ? model && last_role_.Is("assistant")
                             : dialect_.calls_continue_after_responses &&
                                   ending_ == Ending::kResponses &&
                                   calls.is_true();
  if (!continues) {
    FACET_ASSIGN_OR_RETURN(const absl::string_view name,
                           RequireString(role, FieldPath(&path, "role")));
    prompt_.Format("<|turn>");
    prompt_.Content(name == "assistant" ? "model" : name);
    prompt_.Format("\n");
  }
  last_role_ = role;
  ending_ = Ending::kOther;
  responses_written_ = false;
  const TemplateValue responses = message.Get("tool_responses");
  if (calls.is_true()) {
    FACET_RETURN_IF_ERROR(Thoughts(index, message, path));
    FACET_RETURN_IF_ERROR(Calls(calls, FieldPath(&path, "tool_calls")));
  }
  if (responses.is_true()) {
    FACET_RETURN_IF_ERROR(
        Responses(responses, FieldPath(&path, "tool_responses")));
  } else if (calls.is_true() && dialect_.responses_join_the_call) {
    FACET_RETURN_IF_ERROR(FollowingResponses(index, calls));
  }
  FACET_RETURN_IF_ERROR(
      Content(message.Get("content"), model, FieldPath(&path, "content")));
  EndOfTurn(message);
  return absl::OkStatus();
}

absl::Status ChatRenderer::Thoughts(int64_t index, TemplateValue message,
                                    const FieldPath& path) {
  if (dialect_.end_of_thoughts == nullptr || index <= last_user_) {
    return absl::OkStatus();
  }
  TemplateValue thoughts = ReasoningContent(message);
  // The current template reads "reasoning" first and takes only strings.
  if (dialect_.responses_join_the_call) {
    const TemplateValue reasoning = message.Get("reasoning");
    if (reasoning.is_true()) thoughts = reasoning;
    if (thoughts.is_true() && !thoughts.is_string()) {
      return Unexpected(FieldPath(&path, "reasoning_content"), "a string",
                        thoughts);
    }
  }
  if (!thoughts.is_true()) return absl::OkStatus();
  prompt_.Format("<|channel>thought\n");
  prompt_.Content(thoughts.Text());
  prompt_.Format(dialect_.end_of_thoughts);
  return absl::OkStatus();
}

absl::Status ChatRenderer::Calls(TemplateValue calls, const FieldPath& path) {
  ending_ = Ending::kCalls;
  return ForEach(calls, path,
                 [this](TemplateValue call, const FieldPath& call_path) {
                   return AppendToolCall(call, call_path, &prompt_);
                 });
}

// Gemma's own form: responses inside the message that called.
absl::Status ChatRenderer::Responses(TemplateValue responses,
                                     const FieldPath& path) {
  ending_ = Ending::kResponses;
  responses_written_ = true;
  return ForEach(
      responses, path,
      [this](TemplateValue entry, const FieldPath& entry_path) -> absl::Status {
        const TemplateValue name = entry.Get("name");
        absl::string_view function = "unknown";
        if (name.is_defined()) {
          FACET_ASSIGN_OR_RETURN(
              function, RequireString(name, FieldPath(&entry_path, "name")));
        }
        AppendToolResponse(function, entry.Get("response"), &prompt_);
        return absl::OkStatus();
      });
}

// OpenAI's form: messages of role "tool" right behind the one that called.
absl::Status ChatRenderer::FollowingResponses(int64_t index,
                                              TemplateValue calls) {
  for (int64_t i = index + 1; i < message_count(); ++i) {
    if (!message(i).Get("role").Is("tool")) break;
    FACET_RETURN_IF_ERROR(
        ToolMessage(message(i), calls, FieldPath(&messages_path_, i)));
    ending_ = Ending::kResponses;
    responses_written_ = true;
  }
  return absl::OkStatus();
}

absl::Status ChatRenderer::ToolMessage(TemplateValue message,
                                       TemplateValue calls,
                                       const FieldPath& path) {
  // Absent and null are the same id.
  const Json none;
  const auto id_of = [&none](TemplateValue value, const char* name) {
    const TemplateValue id = value.Get(name);
    return id.is_defined() ? id : TemplateValue(&none);
  };
  TemplateValue name = message.Get("name");
  const TemplateValue answered = id_of(message, "tool_call_id");
  for (const Json& item : *calls.json()) {
    const TemplateValue call(&item);
    if (id_of(call, "id").Equals(answered)) {
      name = call.Get("function").Get("name");
    }
  }
  if (!name.is_string()) {
    return absl::InvalidArgumentError(
        absl::StrCat(path.ToString(),
                     ": neither its tool_call_id nor its name says which "
                     "function it answers"));
  }
  const TemplateValue content = message.Get("content");
  const FieldPath content_path(&path, "content");
  if (!content.is_list() && !content.is_mapping()) {
    // An absent content counts as null.
    AppendToolResponse(name.string(),
                       content.is_defined() ? content : TemplateValue(&none),
                       &prompt_);
    return absl::OkStatus();
  }
  std::string text;
  FACET_RETURN_IF_ERROR(ForEach(
      content, content_path,
      [&](TemplateValue part, const FieldPath& part_path) -> absl::Status {
        if (!part.is_mapping()) {
          return Unexpected(part_path, "a content part", part);
        }
        if (!part.Get("type").Is("text")) return absl::OkStatus();
        FACET_ASSIGN_OR_RETURN(
            const absl::string_view piece,
            RequireString(part.Get("text"), FieldPath(&part_path, "text")));
        text.append(piece.data(), piece.size());
        return absl::OkStatus();
      }));
  const Json joined(text);
  AppendToolResponse(name.string(), TemplateValue(&joined), &prompt_);
  return absl::OkStatus();
}

absl::Status ChatRenderer::Content(TemplateValue content, bool model,
                                   const FieldPath& path) {
  if (content.is_string()) return Spoken(content, model, path);
  if (!content.is_list()) return absl::OkStatus();
  return ForEach(content, path,
                 [&](TemplateValue part, const FieldPath& part_path) {
                   return Part(part, model, part_path);
                 });
}

absl::Status ChatRenderer::Part(TemplateValue part, bool model,
                                const FieldPath& path) {
  const TemplateValue type = part.Get("type");
  if (type.Is("text")) {
    return Spoken(part.Get("text"), model, FieldPath(&path, "text"));
  }
  const bool picture = type.Is("image") || type.Is("video");
  if (!picture && !type.Is("audio")) return absl::OkStatus();
  const char* border =
      picture && dialect_.blank_lines_around_pictures ? "\n\n" : "";
  prompt_.Format(absl::StrCat(border, "<|", type.string(), "|>", border));
  ending_ = Ending::kOther;
  return absl::OkStatus();
}

absl::Status ChatRenderer::Spoken(TemplateValue text, bool model,
                                  const FieldPath& path) {
  if (!model) {
    prompt_.Content(PythonStrip(text.Text()));
    return absl::OkStatus();
  }
  FACET_ASSIGN_OR_RETURN(const absl::string_view said,
                         RequireString(text, path));
  prompt_.Content(WithoutThoughts(said));
  return absl::OkStatus();
}

void ChatRenderer::EndOfTurn(TemplateValue message) {
  if (dialect_.responses_join_the_call && ending_ == Ending::kCalls &&
      !responses_written_) {
    prompt_.Format("<|tool_response>");
  } else if (!responses_written_ || message.Get("content").is_true()) {
    prompt_.Format("<turn|>\n");
  }
}

void ChatRenderer::GenerationPrompt() {
  const bool pending =
      ending_ == Ending::kResponses ||
      (dialect_.responses_join_the_call && ending_ == Ending::kCalls);
  if (pending && dialect_.responses_join_the_call) return;
  if (!pending) prompt_.Format("<|turn>model\n");
  if (!thinking_) prompt_.Format("<|channel>thought\n<channel|>");
}

}  // namespace

absl::StatusOr<PromptText> RenderPrompt(
    const ChatDialect& dialect, const TemplateValue::Json& conversation) {
  if (!conversation.is_object()) {
    return absl::InvalidArgumentError(
        "conversation: expected an object with \"messages\"");
  }
  if (NestsDeeperThan(conversation, kMaxNesting)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "conversation: nested deeper than ", kMaxNesting, " levels"));
  }
  return ChatRenderer(dialect, conversation).Render();
}

}  // namespace facet
