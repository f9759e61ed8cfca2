#include "runtime/chat/chat_format.h"

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "runtime/chat/chat_dialect.h"
#include "runtime/chat/chat_renderer.h"

namespace facet {

const char* Name(ChatFormat format) {
  switch (format) {
    case ChatFormat::kOriginal:
      return "original";
    case ChatFormat::kInterleaved:
      return "interleaved";
    case ChatFormat::kCurrent:
      return "current";
  }
  return "unknown";
}

absl::StatusOr<ChatFormat> ParseChatFormat(absl::string_view name) {
  for (ChatFormat format : {ChatFormat::kOriginal, ChatFormat::kInterleaved,
                            ChatFormat::kCurrent}) {
    if (name == Name(format)) return format;
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "chat format \"", name, "\": expected original, interleaved or current"));
}

const ChatDialect& DialectOf(ChatFormat format) {
  static const ChatDialect kOriginal = {.newline_after_think = false,
                                        .blank_lines_around_pictures = true,
                                        .first_type_only = true};
  static const ChatDialect kInterleaved = {
      .end_of_thoughts = "<channel|>", .calls_continue_after_responses = true};
  static const ChatDialect kCurrent = {.nullable_first = false,
                                       .end_of_thoughts = "\n<channel|>",
                                       .responses_join_the_call = true};
  switch (format) {
    case ChatFormat::kOriginal:
      return kOriginal;
    case ChatFormat::kInterleaved:
      return kInterleaved;
    case ChatFormat::kCurrent:
      break;
  }
  return kCurrent;
}

absl::StatusOr<std::string> RenderChat(ChatFormat format,
                                       const ChatJson& conversation) {
  FACET_ASSIGN_OR_RETURN(const PromptText prompt,
                         RenderPrompt(DialectOf(format), conversation));
  return prompt.text();
}

}  // namespace facet
