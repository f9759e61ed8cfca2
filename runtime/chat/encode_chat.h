// Conversations to token ids.
#ifndef FACET_RUNTIME_CHAT_ENCODE_CHAT_H_
#define FACET_RUNTIME_CHAT_ENCODE_CHAT_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/chat/chat_format.h"
#include "runtime/tokenizer/tokenizer.h"

namespace facet {

// The ids of RenderChat()'s text, except that special tokens spelled out inside
// the conversation stay plain text: only the format itself writes tokens, so
// nobody ends a turn by writing "<turn|>". A picture is one placeholder token.
//
// Errors: INVALID_ARGUMENT as RenderChat() gives, and where the conversation is
// not valid UTF-8.
absl::StatusOr<std::vector<int32_t>> EncodeChat(ChatFormat format,
                                                const ChatJson& conversation,
                                                const Tokenizer& tokenizer);

}  // namespace facet

#endif  // FACET_RUNTIME_CHAT_ENCODE_CHAT_H_
