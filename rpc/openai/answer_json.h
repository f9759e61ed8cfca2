// The pieces of JSON that answers of several endpoints share.
#ifndef FACET_RPC_OPENAI_ANSWER_JSON_H_
#define FACET_RPC_OPENAI_ANSWER_JSON_H_

#include <cstdint>
#include <string>
#include <vector>

#include "rpc/convert/text_messages.h"
#include "rpc/openai/api_json.h"
#include "runtime/plan/step_plan.h"
#include "runtime/tokenizer/tokenizer.h"

namespace facet {

// What a call cost, over all its answers.
struct CallUsage {
  int64_t prompt_tokens = 0;
  int64_t cached_tokens = 0;
  int64_t completion_tokens = 0;
  int64_t reasoning_tokens = 0;
};

// {"prompt_tokens", "completion_tokens", "total_tokens", ..._details}
ApiJson UsageJson(const CallUsage& usage);

// How tokens are named: by their text, or as "token_id:7".
class TokenNames {
 public:
  // `tokenizer` outlives it.
  TokenNames(const Tokenizer* tokenizer, bool as_ids)
      : tokenizer_(tokenizer), as_ids_(as_ids) {}

  std::string Name(int32_t id) const;
  std::string Bytes(int32_t id) const;

 private:
  const Tokenizer* tokenizer_;
  bool as_ids_;
};

// [{"token", "logprob", "bytes", "top_logprobs": [...]}, ...], the first
// `top` of the alternatives.
ApiJson LogprobsJson(const std::vector<SampledToken>& tokens, int top,
                     const TokenNames& names);

// [null, {"ID": {"logprob", "rank", "decoded_token"}, ...}, ...], one entry a
// token of the prompt.
ApiJson PromptLogprobsJson(const std::vector<PromptLogprob>& tokens,
                           const TokenNames& names);

// "stop", "length" or "tool_calls".
const char* FinishName(FinishReason finish, bool called);

}  // namespace facet

#endif  // FACET_RPC_OPENAI_ANSWER_JSON_H_
