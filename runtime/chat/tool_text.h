// Tools as Gemma writes them: declarations, calls and responses. Strings stand
// between <|"|> tokens and are never escaped; keys are bare.
#ifndef FACET_RUNTIME_CHAT_TOOL_TEXT_H_
#define FACET_RUNTIME_CHAT_TOOL_TEXT_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "runtime/chat/chat_dialect.h"
#include "runtime/chat/prompt_text.h"
#include "runtime/chat/template_value.h"

namespace facet {

// All of them append to `prompt` and return INVALID_ARGUMENT where the template
// would raise an error.

// <|tool>declaration:NAME{description:...,parameters:{...}}<tool|>
absl::Status AppendToolDeclaration(const ChatDialect& dialect,
                                   TemplateValue tool, const FieldPath& path,
                                   PromptText* prompt);

// <|tool_call>call:NAME{key:value,...}<tool_call|>
absl::Status AppendToolCall(TemplateValue call, const FieldPath& path,
                            PromptText* prompt);

// <|tool_response>response:NAME{key:value,...}<tool_response|>, where a value
// that is no mapping is written under the key "value".
void AppendToolResponse(absl::string_view name, TemplateValue response,
                        PromptText* prompt);

}  // namespace facet

#endif  // FACET_RUNTIME_CHAT_TOOL_TEXT_H_
