#include "rpc/openai/completion_logprobs.h"

#include <algorithm>
#include <utility>

namespace facet {
namespace {

// Bytes that begin a character; of a broken one, its first byte counts.
int64_t Characters(const std::string& text) {
  return std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  });
}

}  // namespace

void CompletionLogprobs::Add(int32_t id, std::optional<float> logprob,
                             const std::vector<TokenLogprob>& top) {
  tokens_.push_back(names_.Name(id));
  offsets_.push_back(offset_);
  if (!tokenizer_->is_special(id)) offset_ += Characters(names_.Bytes(id));
  if (!logprob.has_value()) {
    logprobs_.push_back(nullptr);
    top_logprobs_.push_back(nullptr);
    return;
  }
  logprobs_.push_back(*logprob);
  ApiJson best = ApiJson::object();
  best[names_.Name(id)] = *logprob;
  const size_t count = std::min(top.size(), static_cast<size_t>(top_));
  for (size_t i = 0; i < count; ++i) {
    best[names_.Name(top[i].token)] = top[i].logprob;
  }
  top_logprobs_.push_back(std::move(best));
}

ApiJson CompletionLogprobs::Take() {
  ApiJson json;
  json["tokens"] = std::exchange(tokens_, ApiJson::array());
  json["token_logprobs"] = std::exchange(logprobs_, ApiJson::array());
  json["top_logprobs"] = std::exchange(top_logprobs_, ApiJson::array());
  json["text_offset"] = std::exchange(offsets_, ApiJson::array());
  return json;
}

}  // namespace facet
