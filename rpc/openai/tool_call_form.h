// The form an answer has to have so that its calls are what tool_choice, strict
// schemas and response_format ask for.
#ifndef FACET_RPC_OPENAI_TOOL_CALL_FORM_H_
#define FACET_RPC_OPENAI_TOOL_CALL_FORM_H_

#include "absl/status/status.h"
#include "rpc/convert/text_messages.h"
#include "rpc/coordinator/generate_request.h"
#include "rpc/openai/tool_choice.h"
#include "runtime/tokenizer/tokenizer.h"

namespace facet {

// Changes `format`, the form of the content, to that of the whole answer. It
// stays as it is where nothing binds the calls.
//
// Errors: INVALID_ARGUMENT for a form of the content that cannot stand beside
// calls.
absl::Status ApplyToolUse(const ToolUse& use, OutputFormat* format);

// Keeps calls out of the answer, or to one, where its form does not.
void LimitCalls(const ToolUse& use, const Tokenizer& tokenizer,
                GenerateRequest* prepared);

}  // namespace facet

#endif  // FACET_RPC_OPENAI_TOOL_CALL_FORM_H_
