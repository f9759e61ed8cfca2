// Renders a conversation and keeps track of which parts came from it.
#ifndef FACET_RUNTIME_CHAT_CHAT_RENDERER_H_
#define FACET_RUNTIME_CHAT_CHAT_RENDERER_H_

#include "absl/status/statusor.h"
#include "runtime/chat/chat_dialect.h"
#include "runtime/chat/prompt_text.h"
#include "runtime/chat/template_value.h"

namespace facet {

// See RenderChat() in chat_format.h for the conversation and the errors.
absl::StatusOr<PromptText> RenderPrompt(
    const ChatDialect& dialect, const TemplateValue::Json& conversation);

}  // namespace facet

#endif  // FACET_RUNTIME_CHAT_CHAT_RENDERER_H_
