#include "rpc/openai/tool_call_form.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "runtime/chat/answer_markers.h"

namespace facet {
namespace {

bool Requires(const ToolUse& use) {
  return use.choice == ToolUse::Choice::kRequired ||
         use.choice == ToolUse::Choice::kNamed;
}

bool IsStrict(const ApiJson& function) {
  const auto strict = function.find("strict");
  return strict != function.end() && strict->is_boolean() &&
         strict->get<bool>();
}

// The tools that may be called.
std::vector<CallableTool> CallableTools(const ToolUse& use) {
  std::vector<CallableTool> tools;
  for (size_t i = 0; i < use.tools.size(); ++i) {
    const ApiJson& function = use.tools[i]["function"];
    CallableTool tool;
    tool.name = function["name"].get<std::string>();
    if (use.choice == ToolUse::Choice::kNamed && tool.name != use.name) {
      continue;
    }
    tool.place = absl::StrCat("tools[", i, use.flat ? "]" : "].function");
    const auto schema = function.find("parameters");
    if (schema != function.end() && schema->is_object()) {
      tool.parameters = PrintApiJson(*schema);
    }
    // What is not strict is the model's own business where it may choose.
    tool.lenient = !IsStrict(function);
    tool.strict = !tool.lenient || Requires(use);
    tools.push_back(std::move(tool));
  }
  return tools;
}

}  // namespace

absl::Status ApplyToolUse(const ToolUse& use, OutputFormat* format) {
  if (!use.declared() || use.choice == ToolUse::Choice::kNone) {
    return absl::OkStatus();
  }
  std::vector<CallableTool> tools = CallableTools(use);
  ToolCallOptions calls;
  calls.required = Requires(use);
  calls.parallel = use.parallel && use.choice != ToolUse::Choice::kNamed;
  bool binds = calls.required || format->kind != OutputKind::kFree;
  for (const CallableTool& tool : tools) binds |= tool.strict;
  if (!binds) return absl::OkStatus();
  switch (format->kind) {
    case OutputKind::kFree:
      break;
    case OutputKind::kJsonObject:
      calls.content_schema = R"({"type": "object"})";
      break;
    case OutputKind::kJsonSchema:
      calls.content_schema = format->text;
      break;
    default:
      if (calls.required) break;  // there is no content
      return absl::InvalidArgumentError(
          "structured_outputs: not supported beside tools, except json and "
          "json_object; leave it out, or the tools");
  }
  *format = OutputFormat();
  format->kind = OutputKind::kToolCalls;
  format->tools = std::move(tools);
  format->calls = std::move(calls);
  return absl::OkStatus();
}

void LimitCalls(const ToolUse& use, const Tokenizer& tokenizer,
                GenerateRequest* prepared) {
  if (!use.declared()) return;
  const AnswerMarkers markers = AnswerMarkers::Of(tokenizer);
  if (use.choice == ToolUse::Choice::kNone && markers.call_open >= 0) {
    const auto same = [&](const TokenBias& bias) {
      return bias.token == markers.call_open;
    };
    auto& biases = prepared->logit_bias;
    biases.erase(std::remove_if(biases.begin(), biases.end(), same),
                 biases.end());
    biases.push_back({markers.call_open, -100});
  }
  if (!use.parallel && prepared->grammar == nullptr &&
      markers.call_close >= 0) {
    prepared->stop_ids.push_back(markers.call_close);
  }
}

}  // namespace facet
