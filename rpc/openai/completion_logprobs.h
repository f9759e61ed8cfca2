// The log-probabilities of a plain completion: four lists of equal length.
#ifndef FACET_RPC_OPENAI_COMPLETION_LOGPROBS_H_
#define FACET_RPC_OPENAI_COMPLETION_LOGPROBS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "rpc/openai/answer_json.h"

namespace facet {

// {"tokens", "token_logprobs", "top_logprobs", "text_offset"}
class CompletionLogprobs {
 public:
  // `top` alternatives a token; `tokenizer` outlives this.
  CompletionLogprobs(const Tokenizer* tokenizer, TokenNames names, int top)
      : tokenizer_(tokenizer), names_(names), top_(top) {}

  // Without `logprob`: the first token of a prompt, which follows nothing.
  void Add(int32_t id, std::optional<float> logprob,
           const std::vector<TokenLogprob>& top);

  // What was added since the last call.
  ApiJson Take();

 private:
  const Tokenizer* tokenizer_;
  TokenNames names_;
  int top_;
  int64_t offset_ = 0;  // in characters
  ApiJson tokens_ = ApiJson::array();
  ApiJson logprobs_ = ApiJson::array();
  ApiJson top_logprobs_ = ApiJson::array();
  ApiJson offsets_ = ApiJson::array();
};

}  // namespace facet

#endif  // FACET_RPC_OPENAI_COMPLETION_LOGPROBS_H_
