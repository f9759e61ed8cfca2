// Tool calls in Gemma's syntax as a grammar.
#include "runtime/grammar/tool_calls.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "runtime/grammar/control_bytes.h"
#include "runtime/grammar/grammar_builder.h"
#include "runtime/grammar/json_schema.h"
#include "runtime/grammar/json_text.h"
#include "runtime/grammar/json_value.h"
#include "runtime/tokenizer/utf8.h"

namespace facet {
namespace {

constexpr size_t kMaxNameBytes = 256;

using Document = std::unique_ptr<const JsonValue>;

absl::StatusOr<Document> ParseSchema(absl::string_view text,
                                     const GrammarLimits& limits) {
  if (static_cast<int64_t>(text.size()) > limits.max_source_bytes) {
    return absl::ResourceExhaustedError(absl::StrCat(
        text.size(),
        " bytes; at most max_source_bytes = ", limits.max_source_bytes));
  }
  if (ValidUtf8Prefix(text) != text.size()) {
    return absl::InvalidArgumentError("not UTF-8");
  }
  return ParseJsonValue(text, limits);
}

absl::Status CheckName(absl::string_view name) {
  const bool good = !name.empty() && name.size() <= kMaxNameBytes &&
                    name.find('{') == name.npos &&
                    ValidUtf8Prefix(name) == name.size() &&
                    absl::StripAsciiWhitespace(name) == name;
  if (good) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("name: expected 1 to ", kMaxNameBytes,
                   " bytes of UTF-8 without '{' or white space around them"));
}

// Whether arguments of `tool` alone make a grammar.
bool CanBeFollowed(const CallableTool& tool, const GrammarLimits& limits) {
  const absl::StatusOr<Document> schema = ParseSchema(tool.parameters, limits);
  if (!schema.ok()) return false;
  GrammarBuilder builder(limits);
  const absl::StatusOr<int32_t> rule = AddArguments(**schema, &builder);
  return rule.ok() && builder.Build(*rule).ok();
}

// The arguments of `tool`, an object.
absl::StatusOr<Expr> Arguments(const CallableTool& tool,
                               GrammarBuilder* builder) {
  const bool free = tool.parameters.empty() || !tool.strict ||
                    (tool.lenient && !CanBeFollowed(tool, builder->limits()));
  const absl::string_view text =
      free ? absl::string_view("{}") : absl::string_view(tool.parameters);
  FACET_ASSIGN_OR_RETURN(const Document schema,
                         ParseSchema(text, builder->limits()));
  FACET_ASSIGN_OR_RETURN(const int32_t rule, AddArguments(*schema, builder));
  return builder->Rule(rule);
}

}  // namespace

absl::StatusOr<GrammarPtr> CompileToolCalls(
    absl::Span<const CallableTool> tools, const ToolCallOptions& options,
    const GrammarLimits& limits) {
  if (tools.empty() && options.required) {
    return absl::InvalidArgumentError("tools: none to call");
  }
  GrammarBuilder builder(limits);
  absl::flat_hash_set<std::string> names;
  std::vector<Expr> calls;
  for (size_t i = 0; i < tools.size(); ++i) {
    const std::string place = tools[i].place.empty()
                                  ? absl::StrCat("tools[", i, "]")
                                  : tools[i].place;
    absl::Status good = CheckName(tools[i].name);
    if (good.ok() && !names.insert(tools[i].name).second) {
      good = absl::InvalidArgumentError("name: an earlier tool has the same");
    }
    if (!good.ok()) return Annotate(good, place);
    const absl::StatusOr<Expr> arguments = Arguments(tools[i], &builder);
    if (!arguments.ok()) {
      return Annotate(arguments.status(), absl::StrCat(place, ".parameters"));
    }
    calls.push_back(builder.Concat(
        {builder.Literal(absl::StrCat("call:", tools[i].name)), *arguments}));
  }
  const auto control = [&builder](char byte) {
    return builder.Literal(std::string(1, byte));
  };
  const Expr call =
      builder.Concat({control(kCallOpenByte), builder.Either(std::move(calls)),
                      control(kCallCloseByte)});
  const Expr all = builder.Repeat(call, 1, options.parallel ? kUnbounded : 1);
  Expr answer = all;
  Document schema;
  if (!options.required && options.content_schema.empty()) {
    const Expr any = builder.Class(Complement({}));
    answer = builder.Concat(
        {builder.Repeat(any, 0, kUnbounded), builder.Optional(all)});
  } else if (!options.required) {
    absl::StatusOr<Document> parsed =
        ParseSchema(options.content_schema, limits);
    if (!parsed.ok()) return Annotate(parsed.status(), "schema");
    schema = *std::move(parsed);
    const absl::StatusOr<int32_t> content =
        AddSchema(*schema, ValueSyntax::kJson, &builder);
    if (!content.ok()) return Annotate(content.status(), "schema");
    answer = builder.Either({builder.Rule(*content), all});
  }
  const int32_t root = builder.AddRule("answer");
  builder.Define(root, answer);
  return builder.Build(root);
}

}  // namespace facet
