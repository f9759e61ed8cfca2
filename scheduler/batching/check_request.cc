#include "scheduler/batching/check_request.h"

#include <cmath>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"

namespace facet {
namespace {

// What a step plan may carry.
constexpr size_t kMostBiases = 1024;
constexpr size_t kMostStopIds = 1024;
constexpr int kMostTopLogprobs = 64;
constexpr int kMostPriority = 100;

template <typename... Parts>
absl::Status Refuse(const Parts&... parts) {
  return absl::InvalidArgumentError(absl::StrCat(parts...));
}

absl::Status CheckPrompt(const SequenceRequest& request,
                         const RequestLimits& limits) {
  if (request.prompt.empty()) {
    return Refuse("prompt: empty, at least one token is needed");
  }
  for (size_t i = 0; i < request.prompt.size(); ++i) {
    const int32_t id = request.prompt[i];
    if (id >= 0 && id < limits.vocab_size) continue;
    return Refuse("prompt[", i, "]: token id ", id,
                  " is out of range, the vocabulary has ids 0 to ",
                  limits.vocab_size - 1);
  }
  for (const int32_t id : request.drawn) {
    if (id >= 0 && id < limits.vocab_size) continue;
    return Refuse("drawn: token id ", id, " is out of range, the vocabulary ",
                  "has ids 0 to ", limits.vocab_size - 1);
  }
  const auto drawn = static_cast<int64_t>(request.drawn.size());
  if (drawn > 0 && drawn >= request.max_tokens) {
    return Refuse("drawn: ", drawn, " tokens of max_tokens ",
                  request.max_tokens, " leave none to draw");
  }
  const auto length = static_cast<int64_t>(request.prompt.size()) + drawn;
  if (length > limits.max_positions) {
    return Refuse("prompt: ", length, " tokens, but the model's context is ",
                  limits.max_positions);
  }
  if (length > limits.most_positions) {
    return Refuse("prompt: ", length, " tokens, but the KV memory holds ",
                  limits.most_positions, "; raise --kv-memory");
  }
  return absl::OkStatus();
}

absl::Status CheckCounts(const SequenceRequest& request) {
  const bool wants_rows = request.prompt_logits || request.prompt_logprobs >= 0;
  const int64_t least = wants_rows ? 0 : 1;
  if (request.max_tokens < least) {
    return Refuse("max_tokens: ", request.max_tokens,
                  " is out of range, at least ", least);
  }
  if (request.min_tokens < 0 ||
      (request.min_tokens > request.max_tokens && !request.prompt_logits)) {
    return Refuse("min_tokens: ", request.min_tokens,
                  " is out of range, 0 to max_tokens, which is ",
                  request.max_tokens);
  }
  if (request.prompt_logprobs < -1 ||
      request.prompt_logprobs > kMostTopLogprobs) {
    return Refuse("prompt_logprobs: ", request.prompt_logprobs,
                  " is out of range, -1 (none) to ", kMostTopLogprobs);
  }
  if (request.priority < -kMostPriority || request.priority > kMostPriority) {
    return Refuse("priority: ", request.priority, " is out of range, ",
                  -kMostPriority, " to ", kMostPriority);
  }
  return absl::OkStatus();
}

absl::Status CheckBiases(const std::vector<TokenBias>& biases,
                         int64_t vocab_size) {
  if (biases.size() > kMostBiases) {
    return Refuse("logit_bias: ", biases.size(), " tokens, at most ",
                  kMostBiases);
  }
  absl::flat_hash_set<int32_t> biased;
  for (const TokenBias& bias : biases) {
    if (bias.token < 0 || bias.token >= vocab_size) {
      return Refuse("logit_bias: token id ", bias.token,
                    " is out of range, the vocabulary has ids 0 to ",
                    vocab_size - 1);
    }
    if (!std::isfinite(bias.bias)) {
      return Refuse("logit_bias: ", bias.bias, " for token id ", bias.token,
                    ", a finite number is needed");
    }
    if (!biased.insert(bias.token).second) {
      return Refuse("logit_bias: token id ", bias.token, " is named twice");
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckRequest(const SequenceRequest& request,
                          const RequestLimits& limits) {
  FACET_RETURN_IF_ERROR(CheckPrompt(request, limits));
  FACET_RETURN_IF_ERROR(CheckCounts(request));
  if (request.stop_ids.size() > kMostStopIds) {
    return Refuse("stop_ids: ", request.stop_ids.size(), " ids, at most ",
                  kMostStopIds);
  }
  return CheckBiases(request.logit_bias, limits.vocab_size);
}

}  // namespace facet
