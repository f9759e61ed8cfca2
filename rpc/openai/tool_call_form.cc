#include "rpc/openai/tool_call_form.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace facet {
namespace {

ToolCallForm CallsOf(const ToolUse& use) {
  ToolCallForm form;
  form.required = use.choice == ToolUse::Choice::kRequired ||
                  use.choice == ToolUse::Choice::kNamed;
  form.parallel = use.parallel && use.choice != ToolUse::Choice::kNamed;
  for (size_t i = 0; i < use.tools.size(); ++i) {
    const ApiJson& function = use.tools[i]["function"];
    CallableFunction callable;
    callable.name = function["name"].get<std::string>();
    callable.place = absl::StrCat("tools[", i, "].function.parameters");
    const auto schema = function.find("parameters");
    if (schema != function.end() && schema->is_object()) {
      callable.schema = PrintApiJson(*schema);
    }
    const auto strict = function.find("strict");
    callable.strict =
        strict != function.end() && strict->is_boolean() && strict->get<bool>();
    // What is not strict is the model's own business where it may choose.
    if (!callable.strict && !form.required) callable.schema.clear();
    if (use.choice == ToolUse::Choice::kNamed && callable.name != use.name) {
      continue;
    }
    form.functions.push_back(std::move(callable));
  }
  return form;
}

}  // namespace

absl::Status ApplyToolUse(const ToolUse& use, OutputFormat* format) {
  if (!use.declared() || use.choice == ToolUse::Choice::kNone) {
    return absl::OkStatus();
  }
  ToolCallForm form = CallsOf(use);
  bool binds = form.required || format->kind != OutputKind::kFree;
  for (const CallableFunction& one : form.functions) binds |= one.strict;
  if (!binds) return absl::OkStatus();
  switch (format->kind) {
    case OutputKind::kFree:
      break;
    case OutputKind::kJsonObject:
      form.content = R"({"type": "object"})";
      break;
    case OutputKind::kJsonSchema:
      form.content = format->text;
      break;
    default:
      if (form.required) break;  // there is no content
      return absl::InvalidArgumentError(
          "structured_outputs: not supported beside tools, except json and "
          "json_object; leave it out, or the tools");
  }
  *format = OutputFormat();
  format->kind = OutputKind::kToolCalls;
  format->calls = std::move(form);
  return absl::OkStatus();
}

}  // namespace facet
