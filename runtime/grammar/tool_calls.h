// Answers that call tools, as a grammar: the calls are in Gemma's syntax and
// their arguments satisfy the tools' schemas. Control tokens are bytes of their
// own (control_bytes.h).
#ifndef FACET_RUNTIME_GRAMMAR_TOOL_CALLS_H_
#define FACET_RUNTIME_GRAMMAR_TOOL_CALLS_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "runtime/grammar/grammar.h"

namespace facet {

struct CallableTool {
  std::string name;
  std::string parameters;  // a JSON Schema; empty: any object
  // The arguments satisfy `parameters`; otherwise they are any object.
  bool strict = true;
  // They are any object too where `parameters` cannot be followed, which is an
  // error otherwise.
  bool lenient = false;
  std::string place = {};  // in the request, for errors; empty: "tools[i]"
};

// For tool_choice "required", `required`; for a named one, give that tool alone
// and `required`. A choice of "auto" needs a grammar only where a tool is
// strict, and "none" needs none.
struct ToolCallOptions {
  bool required = false;  // the answer is calls and nothing else
  bool parallel = true;   // more than one call
  // Where no call is required: the answer is a JSON value that satisfies this
  // schema, or it is calls. Empty: any text, and then calls or not.
  std::string content_schema = {};
};

// Each call is <|tool_call>call:NAME{...}<tool_call|>. Arguments stand in the
// order in which models see them: by name, letter case ignored. A thought in
// front is not part of the grammar: whoever follows it lets one come first.
//
// Errors: those of CompileJsonSchema(), named after the tool; INVALID_ARGUMENT
// for names that a call cannot hold, and two tools of one name.
absl::StatusOr<GrammarPtr> CompileToolCalls(
    absl::Span<const CallableTool> tools, const ToolCallOptions& options,
    const GrammarLimits& limits);

}  // namespace facet

#endif  // FACET_RUNTIME_GRAMMAR_TOOL_CALLS_H_
