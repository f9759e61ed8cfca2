#include "rpc/openai/answer_json.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace facet {
namespace {

ApiJson TokenJson(int32_t id, float logprob, const TokenNames& names) {
  ApiJson json;
  json["token"] = names.Name(id);
  json["logprob"] = logprob;
  ApiJson bytes = ApiJson::array();
  for (const char c : names.Bytes(id)) {
    bytes.push_back(static_cast<unsigned char>(c));
  }
  json["bytes"] = std::move(bytes);
  return json;
}

}  // namespace

ApiJson UsageJson(const CallUsage& usage) {
  ApiJson json;
  json["prompt_tokens"] = usage.prompt_tokens;
  json["completion_tokens"] = usage.completion_tokens;
  json["total_tokens"] = usage.prompt_tokens + usage.completion_tokens;
  json["prompt_tokens_details"] = {{"cached_tokens", usage.cached_tokens}};
  json["completion_tokens_details"] = {
      {"reasoning_tokens", usage.reasoning_tokens}};
  return json;
}

std::string TokenNames::Name(int32_t id) const {
  return as_ids_ ? absl::StrCat("token_id:", id) : Bytes(id);
}

std::string TokenNames::Bytes(int32_t id) const {
  return TokenBytes(*tokenizer_, id);
}

ApiJson LogprobsJson(const std::vector<SampledToken>& tokens, int top,
                     const TokenNames& names) {
  ApiJson list = ApiJson::array();
  for (const SampledToken& token : tokens) {
    ApiJson json = TokenJson(token.token, token.logprob, names);
    ApiJson best = ApiJson::array();
    const size_t count =
        std::min(token.top.size(), static_cast<size_t>(std::max(top, 0)));
    for (size_t i = 0; i < count; ++i) {
      best.push_back(
          TokenJson(token.top[i].token, token.top[i].logprob, names));
    }
    json["top_logprobs"] = std::move(best);
    list.push_back(std::move(json));
  }
  return list;
}

ApiJson PromptLogprobsJson(const std::vector<PromptLogprob>& tokens,
                           const TokenNames& names) {
  ApiJson list = ApiJson::array({nullptr});
  for (const PromptLogprob& token : tokens) {
    ApiJson entry = ApiJson::object();
    const auto add = [&](int32_t id, float logprob, ApiJson rank) {
      entry[absl::StrCat(id)] = {{"logprob", logprob},
                                 {"rank", std::move(rank)},
                                 {"decoded_token", names.Bytes(id)}};
    };
    add(token.token, token.logprob, nullptr);
    for (size_t i = 0; i < token.top.size(); ++i) {
      add(token.top[i].token, token.top[i].logprob, i + 1);
    }
    list.push_back(std::move(entry));
  }
  return list;
}

const char* FinishName(FinishReason finish, bool called) {
  if (finish == FinishReason::kLength) return "length";
  return called ? "tool_calls" : "stop";
}

}  // namespace facet
