#include "runtime/chat/encode_chat.h"

#include "kernels/base/status_macros.h"
#include "runtime/chat/chat_dialect.h"
#include "runtime/chat/chat_renderer.h"
#include "runtime/chat/prompt_text.h"

namespace facet {

absl::StatusOr<std::vector<int32_t>> EncodeChat(ChatFormat format,
                                                const ChatJson& conversation,
                                                const Tokenizer& tokenizer) {
  FACET_ASSIGN_OR_RETURN(const PromptText prompt,
                         RenderPrompt(DialectOf(format), conversation));
  EncodeOptions options;
  options.plain = prompt.content();
  return tokenizer.Encode(prompt.text(), options);
}

}  // namespace facet
