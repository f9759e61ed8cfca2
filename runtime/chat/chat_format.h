// Conversations to prompt text, natively, for each published version of the
// Gemma 4 chat template.
#ifndef FACET_RUNTIME_CHAT_CHAT_FORMAT_H_
#define FACET_RUNTIME_CHAT_CHAT_FORMAT_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "nlohmann/json.hpp"

namespace facet {

// Which published template a checkpoint was trained with.
enum class ChatFormat {
  kOriginal,     // "original": the first release
  kInterleaved,  // "interleaved": keeps reasoning between tool calls
  kCurrent,      // "current": the official one since
};

const char* Name(ChatFormat format);

// "auto" is not a format: callers resolve it with DetectChatFormat().
absl::StatusOr<ChatFormat> ParseChatFormat(absl::string_view name);

// Recognises `directory`/chat_template.jinja (or the chat_template string of
// tokenizer_config.json) by its SHA-256, over lines that end in a line feed.
//
// Errors:
//   NOT_FOUND            there is no template (a base model)
//   FAILED_PRECONDITION  an unknown template: it is never rendered as another
//                        one unasked. The message says which format it
//                        resembles, and how to choose one by --chat-format
absl::StatusOr<ChatFormat> DetectChatFormat(const std::string& directory);

// A conversation as clients send it: "messages", and optionally "tools",
// "enable_thinking" (false), "add_generation_prompt" (true). Messages and tools
// have the shape of OpenAI's chat API, "tool_responses" of Gemma's template.
//
// Thoughts of earlier turns are "reasoning_content", or "thinking" or
// "reasoning", as the reference takes them.
//
// Ordered JSON: keys are rendered in the order the template gives them, and
// numbers as Python prints them (integers beyond 64 bits are floats here).
using ChatJson = nlohmann::ordered_json;

// How `format` differs from the others; see chat_dialect.h.
struct ChatDialect;
const ChatDialect& DialectOf(ChatFormat format);

// The exact text the template would give, <bos> included.
//
// Errors: INVALID_ARGUMENT naming the message and field, wherever the template
// itself would raise an error.
absl::StatusOr<std::string> RenderChat(ChatFormat format,
                                       const ChatJson& conversation);

}  // namespace facet

#endif  // FACET_RUNTIME_CHAT_CHAT_FORMAT_H_
