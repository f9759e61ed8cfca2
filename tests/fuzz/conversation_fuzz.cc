// Any JSON is rendered or refused as a conversation, by every format, and a
// prompt that is rendered is UTF-8 where the conversation was.
#include <string>

#include "kernels/base/check.h"
#include "runtime/chat/chat_format.h"
#include "runtime/tokenizer/utf8.h"
#include "tests/fuzz/fuzz_target.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const facet::ChatJson conversation = facet::ChatJson::parse(
      data, data + size, nullptr, /*allow_exceptions=*/false);
  if (conversation.is_discarded()) return 0;
  for (const auto format :
       {facet::ChatFormat::kOriginal, facet::ChatFormat::kInterleaved,
        facet::ChatFormat::kCurrent}) {
    const auto text = facet::RenderChat(format, conversation);
    if (!text.ok()) {
      FACET_CHECK(!text.status().message().empty());
      continue;
    }
    FACET_CHECK(text->substr(0, 5) == "<bos>");
    FACET_CHECK(facet::ValidUtf8Prefix(*text) == text->size());
  }
  return 0;
}
