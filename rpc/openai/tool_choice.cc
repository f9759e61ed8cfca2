#include "rpc/openai/tool_choice.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "rpc/openai/chat_messages.h"

namespace facet {
namespace {

bool Declares(const ApiJson& tools, const std::string& name) {
  for (const ApiJson& tool : tools) {
    if (tool["function"]["name"] == name) return true;
  }
  return false;
}

void ReadChoice(RequestReader& reader, bool flat, ToolUse* use) {
  const ApiJson* given = reader.Find("tool_choice");
  if (given == nullptr) return;
  use->choice_given = *given;
  if (given->is_string()) {
    const std::string word =
        reader.ReadChoice("tool_choice", "auto none required");
    if (word == "none") use->choice = ToolUse::Choice::kNone;
    if (word == "required") use->choice = ToolUse::Choice::kRequired;
  } else if (given->is_object()) {
    RequestReader inner(*given, "tool_choice");
    if (inner.ReadChoice("type", "function").empty()) {
      inner.Fail("type", "missing");
    }
    inner.RefuseOthers(flat ? "type name" : "type function");
    if (flat) {
      inner.Read("name", &use->name);
    } else if (const ApiJson* function = inner.FindObject("function")) {
      RequestReader named(*function, "tool_choice.function");
      named.RefuseOthers("name");
      named.Read("name", &use->name);
      inner.Fail(named.status());
    }
    if (use->name.empty()) {
      inner.Fail(flat ? "name" : "function.name", "missing");
    }
    reader.Fail(inner.status());
    use->choice = ToolUse::Choice::kNamed;
  } else {
    reader.Fail(
        "tool_choice",
        absl::StrCat("expected a string or an object, found ", KindOf(*given)));
  }
  if (!reader.ok()) return;
  if (use->choice == ToolUse::Choice::kRequired && !use->declared()) {
    reader.Fail("tool_choice", "\"required\", but there are no tools");
  }
  if (use->choice == ToolUse::Choice::kNamed &&
      !Declares(use->tools, use->name)) {
    reader.Fail("tool_choice",
                absl::StrCat("there is no tool \"", use->name, "\""));
  }
}

}  // namespace

void ReadToolUse(RequestReader& reader, bool flat, ToolUse* use) {
  use->tools = ApiJson::array();
  use->flat = flat;
  if (const ApiJson* tools = reader.Find("tools")) {
    absl::StatusOr<ApiJson> checked = CheckTools(*tools, flat);
    if (checked.ok()) use->tools = *std::move(checked);
    reader.Fail(checked.status());
  }
  ReadChoice(reader, flat, use);
  reader.Read("parallel_tool_calls", &use->parallel);
}

}  // namespace facet
