#include "rpc/openai/chat_messages.h"

#include <set>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "rpc/openai/request_reader.h"

namespace facet {
namespace {

constexpr char kMessageFields[] =
    "role content name tool_calls tool_call_id reasoning reasoning_content "
    "thinking refusal annotations audio function_call";

bool IsMedia(const std::string& type) {
  for (const char* one :
       {"image_url", "input_image", "image", "input_audio", "audio_url",
        "audio", "video_url", "video", "file", "input_file"}) {
    if (type == one) return true;
  }
  return false;
}

// Checks the parts of a content; returns their text joined.
std::string CheckParts(const ApiJson& parts, RequestReader& message) {
  std::string joined;
  for (size_t i = 0; i < parts.size() && message.ok(); ++i) {
    const std::string path = message.PathOf(absl::StrCat("content[", i, "]"));
    if (!parts[i].is_object()) {
      message.Fail(absl::InvalidArgumentError(absl::StrCat(
          path, ": expected a content part, found ", KindOf(parts[i]))));
      break;
    }
    RequestReader part(parts[i], path);
    std::string type;
    part.Read("type", &type);
    if (IsMedia(type)) {
      part.Fail("type",
                absl::StrCat("\"", type, "\" is not supported, only text is"));
    } else if (part.ok() && type != "text") {
      part.Fail("type", absl::StrCat("expected text, found \"", type, "\""));
    }
    part.RefuseOthers("type text");
    std::string text;
    part.Read("text", &text);
    if (part.Find("text") == nullptr) part.Fail("text", "missing");
    message.Fail(part.status());
    joined += text;
  }
  return joined;
}

// The calls of an assistant's message, with arguments as objects.
ApiJson CheckCalls(const ApiJson& calls, RequestReader& message) {
  ApiJson checked = ApiJson::array();
  for (size_t i = 0; i < calls.size() && message.ok(); ++i) {
    const std::string path =
        message.PathOf(absl::StrCat("tool_calls[", i, "]"));
    if (!calls[i].is_object()) {
      message.Fail(absl::InvalidArgumentError(absl::StrCat(
          path, ": expected an object, found ", KindOf(calls[i]))));
      break;
    }
    RequestReader call(calls[i], path);
    call.RefuseOthers("id type function index");
    std::string id;
    call.Read("id", &id);
    call.ReadChoice("type", "function");
    const ApiJson* function = call.FindObject("function");
    ApiJson result = {{"id", id}, {"type", "function"}};
    if (function == nullptr) {
      call.Fail("function", "missing");
    } else {
      RequestReader inner(*function, call.PathOf("function"));
      inner.RefuseOthers("name arguments");
      std::string name;
      inner.Read("name", &name);
      if (name.empty()) inner.Fail("name", "missing");
      ApiJson arguments = ApiJson::object();
      if (const ApiJson* given = inner.Find("arguments")) {
        absl::StatusOr<ApiJson> parsed =
            ParseArguments(*given, inner.PathOf("arguments"));
        if (parsed.ok()) arguments = *std::move(parsed);
        inner.Fail(parsed.status());
      }
      call.Fail(inner.status());
      result["function"] = {{"name", name}, {"arguments", arguments}};
    }
    message.Fail(call.status());
    checked.push_back(std::move(result));
  }
  return checked;
}

absl::StatusOr<ApiJson> CheckMessage(const ApiJson& given,
                                     const std::string& path) {
  if (!given.is_object()) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": expected an object, found ", KindOf(given)));
  }
  RequestReader message(given, path);
  message.RefuseOthers(kMessageFields);
  const std::string role =
      message.ReadChoice("role", "system developer user assistant tool");
  if (role.empty()) message.Fail("role", "missing");
  const bool assistant = role == "assistant";
  const bool system = role == "system" || role == "developer";
  for (const char* none : {"audio", "function_call"}) {
    if (message.Find(none) != nullptr) message.Fail(none, "not supported");
  }
  const ApiJson* refusal = message.Find("refusal");
  if (refusal != nullptr && *refusal != "") {
    message.Fail("refusal", "not supported, say it as content");
  }

  ApiJson result = {{"role", role}};
  std::string name;
  message.Read("name", &name);
  if (!name.empty()) result["name"] = name;
  for (const char* thought : {"reasoning_content", "thinking", "reasoning"}) {
    std::string text;
    message.Read(thought, &text);
    if (text.empty()) continue;
    if (!assistant) message.Fail(thought, "only the assistant has thoughts");
    result["reasoning_content"] = text;
  }
  if (const ApiJson* calls = message.FindList("tool_calls")) {
    if (!assistant && !calls->empty()) {
      message.Fail("tool_calls", "only the assistant calls tools");
    }
    if (!calls->empty()) result["tool_calls"] = CheckCalls(*calls, message);
  }
  std::string answered;
  message.Read("tool_call_id", &answered);
  if (role == "tool") {
    if (answered.empty() && name.empty()) {
      message.Fail("tool_call_id", "missing");
    }
    result["tool_call_id"] = answered;
  } else if (!answered.empty()) {
    message.Fail("tool_call_id", "only a message of role tool answers a call");
  }
  const ApiJson* content = message.Find("content");
  if (content == nullptr) {
    if (!assistant) message.Fail("content", "missing");
  } else if (content->is_string()) {
    result["content"] = *content;
  } else if (content->is_array()) {
    const std::string joined = CheckParts(*content, message);
    // The template takes one text there.
    result["content"] = system ? ApiJson(joined) : *content;
  } else {
    message.Fail("content",
                 absl::StrCat("expected a string or a list of parts, found ",
                              KindOf(*content)));
  }
  if (!message.ok()) return message.status();
  return result;
}

}  // namespace

bool IsFunctionName(absl::string_view name) {
  if (name.empty() || name.size() > 64) return false;
  for (const char c : name) {
    if (!absl::ascii_isalnum(c) && c != '_' && c != '-' && c != '.' &&
        c != ':') {
      return false;
    }
  }
  return true;
}

absl::StatusOr<ApiJson> ParseArguments(const ApiJson& arguments,
                                       const std::string& path) {
  if (arguments.is_object()) return arguments;
  if (!arguments.is_string()) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": expected the text of a JSON object, found ",
                     KindOf(arguments)));
  }
  const std::string& text = arguments.get_ref<const std::string&>();
  if (absl::StripAsciiWhitespace(text).empty()) return ApiJson::object();
  absl::StatusOr<ApiJson> parsed = ParseApiJson(text);
  if (parsed.ok()) return parsed;
  return absl::InvalidArgumentError(absl::StrCat(
      path,
      ": expected the text of a JSON object: ", parsed.status().message()));
}

absl::StatusOr<ApiJson> CheckMessages(const ApiJson& messages) {
  if (!messages.is_array() || messages.empty()) {
    return absl::InvalidArgumentError(
        "messages: expected a list of at least one message");
  }
  ApiJson checked = ApiJson::array();
  for (size_t i = 0; i < messages.size(); ++i) {
    FACET_ASSIGN_OR_RETURN(
        ApiJson message,
        CheckMessage(messages[i], absl::StrCat("messages[", i, "]")));
    checked.push_back(std::move(message));
  }
  return checked;
}

absl::StatusOr<ApiJson> CheckTools(const ApiJson& tools, bool flat) {
  if (!tools.is_array()) {
    return absl::InvalidArgumentError(
        absl::StrCat("tools: expected a list, found ", KindOf(tools)));
  }
  ApiJson checked = ApiJson::array();
  std::set<std::string> names;
  for (size_t i = 0; i < tools.size(); ++i) {
    const std::string path = absl::StrCat("tools[", i, "]");
    if (!tools[i].is_object()) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, ": expected an object, found ", KindOf(tools[i])));
    }
    RequestReader tool(tools[i], path);
    if (tool.ReadChoice("type", "function").empty()) {
      tool.Fail("type", "missing");
    }
    if (!flat) tool.RefuseOthers("type function");
    const ApiJson* function = flat ? &tools[i] : tool.FindObject("function");
    if (function == nullptr) tool.Fail("function", "missing");
    FACET_RETURN_IF_ERROR(tool.status());
    RequestReader inner(*function, flat ? path : tool.PathOf("function"));
    inner.RefuseOthers(flat ? "type name description parameters strict"
                            : "name description parameters strict");
    std::string name, description;
    bool strict = false;
    inner.Read("name", &name);
    inner.Read("description", &description);
    inner.Read("strict", &strict);
    inner.FindObject("parameters");
    if (inner.ok() && !IsFunctionName(name)) {
      inner.Fail("name", "expected 1 to 64 letters, digits, _, -, . and :");
    }
    if (inner.ok() && !names.insert(name).second) {
      inner.Fail("name", absl::StrCat("\"", name, "\" is declared twice"));
    }
    FACET_RETURN_IF_ERROR(inner.status());
    ApiJson declared = *function;
    declared.erase("type");
    checked.push_back(
        {{"type", "function"}, {"function", std::move(declared)}});
  }
  return checked;
}

}  // namespace facet
