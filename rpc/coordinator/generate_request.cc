#include "rpc/coordinator/generate_request.h"

#include <cmath>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "runtime/tokenizer/utf8.h"

namespace facet {
namespace {

constexpr size_t kMaxStopStrings = 16;
constexpr size_t kMaxStopBytes = 256;
constexpr size_t kMaxStopIds = 256;
constexpr size_t kMaxBiases = 1024;
constexpr size_t kMaxSaltBytes = 256;
constexpr int kMaxTopLogprobs = 64;
constexpr int kMaxPriority = 100;

absl::Status OutOfRange(absl::string_view field, double value,
                        absl::string_view legal) {
  return absl::InvalidArgumentError(
      absl::StrCat(field, ": ", value, " is out of range, legal is ", legal));
}

// Ranges are written so that a NaN fails.
absl::Status CheckSampling(const SamplingParams& sampling) {
  if (!(sampling.temperature >= 0) || !std::isfinite(sampling.temperature)) {
    return OutOfRange("temperature", sampling.temperature,
                      "0 (greedy) and above");
  }
  if (sampling.top_k < 0) {
    return OutOfRange("top_k", sampling.top_k, "0 (off) and above");
  }
  if (!(sampling.top_p > 0 && sampling.top_p <= 1)) {
    return OutOfRange("top_p", sampling.top_p, "above 0, up to 1 (off)");
  }
  if (!(sampling.min_p >= 0 && sampling.min_p < 1)) {
    return OutOfRange("min_p", sampling.min_p, "0 (off) up to below 1");
  }
  if (sampling.top_logprobs < 0 || sampling.top_logprobs > kMaxTopLogprobs) {
    return OutOfRange("top_logprobs", sampling.top_logprobs, "0 to 64");
  }
  if (!(sampling.repetition_penalty > 0 && sampling.repetition_penalty <= 2)) {
    return OutOfRange("repetition_penalty", sampling.repetition_penalty,
                      "above 0, up to 2; 1 is off");
  }
  if (!(std::abs(sampling.presence_penalty) <= 2)) {
    return OutOfRange("presence_penalty", sampling.presence_penalty, "-2 to 2");
  }
  if (!(std::abs(sampling.frequency_penalty) <= 2)) {
    return OutOfRange("frequency_penalty", sampling.frequency_penalty,
                      "-2 to 2");
  }
  return absl::OkStatus();
}

absl::Status CheckBias(const std::vector<TokenBias>& biases,
                       int64_t vocab_size) {
  if (biases.size() > kMaxBiases) {
    return OutOfRange("logit_bias: count", biases.size(), "0 to 1024");
  }
  absl::flat_hash_set<int32_t> seen;
  for (const TokenBias& one : biases) {
    if (one.token < 0 || one.token >= vocab_size) {
      return OutOfRange("logit_bias: token id", one.token,
                        absl::StrCat("0 to ", vocab_size - 1));
    }
    if (!(std::abs(one.bias) <= 100)) {
      return OutOfRange("logit_bias", one.bias, "-100 to 100");
    }
    if (!seen.insert(one.token).second) {
      return absl::InvalidArgumentError(
          absl::StrCat("logit_bias: token id ", one.token, " is given twice"));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckStops(const GenerateRequest& request, bool tokenizes) {
  if (request.stop_ids.size() > kMaxStopIds) {
    return OutOfRange("stop_ids: count", request.stop_ids.size(), "0 to 256");
  }
  if (request.stop_strings.size() > kMaxStopStrings) {
    return OutOfRange("stop: count", request.stop_strings.size(), "0 to 16");
  }
  for (const std::string& stop : request.stop_strings) {
    if (stop.empty() || stop.size() > kMaxStopBytes) {
      return OutOfRange("stop: length in bytes", stop.size(), "1 to 256");
    }
    if (ValidUtf8Prefix(stop) < stop.size()) {
      return absl::InvalidArgumentError("stop: not UTF-8");
    }
  }
  if (!request.stop_strings.empty() && !tokenizes) {
    return absl::InvalidArgumentError(
        "stop: the model has no tokenizer, so only stop_ids can be used");
  }
  return absl::OkStatus();
}

absl::Status CheckAnswers(const GenerateRequest& request) {
  if (request.n < 1 || request.n > kMaxAnswers) {
    return OutOfRange("n", request.n, "1 to 64");
  }
  if (request.best_of != 0 &&
      (request.best_of < request.n || request.best_of > kMaxAnswers)) {
    return OutOfRange("best_of", request.best_of, "n to 64");
  }
  if (request.drawn.size() > static_cast<size_t>(request.n)) {
    return OutOfRange("drawn: answers", request.drawn.size(), "0 to n");
  }
  if (request.prompt_logits && (request.n > 1 || request.best_of > 1)) {
    return OutOfRange("n", request.n, "1 where logits are wanted");
  }
  if (request.min_tokens < 0 ||
      (request.min_tokens > 0 && request.min_tokens > request.max_tokens)) {
    return OutOfRange("min_tokens", request.min_tokens, "0 to max_tokens");
  }
  if (request.max_thought_tokens < -1) {
    return OutOfRange("max_thought_tokens", request.max_thought_tokens,
                      "0 and above");
  }
  if (request.prompt_logprobs < -1 ||
      request.prompt_logprobs > kMaxTopLogprobs) {
    return OutOfRange("prompt_logprobs", request.prompt_logprobs, "0 to 64");
  }
  return absl::OkStatus();
}

}  // namespace

uint64_t AnswerSeed(uint64_t seed, int index) {
  if (index == 0) return seed;
  // The finaliser of SplitMix64 (Steele et al., OOPSLA 2014).
  uint64_t x = seed + 0x9e3779b97f4a7c15ULL * static_cast<uint64_t>(index);
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

absl::Status CheckRequest(const GenerateRequest& request, int64_t vocab_size,
                          bool tokenizes) {
  FACET_RETURN_IF_ERROR(CheckSampling(request.sampling));
  FACET_RETURN_IF_ERROR(CheckBias(request.logit_bias, vocab_size));
  FACET_RETURN_IF_ERROR(CheckStops(request, tokenizes));
  FACET_RETURN_IF_ERROR(CheckAnswers(request));
  if (std::abs(request.priority) > kMaxPriority) {
    return OutOfRange("priority", request.priority, "-100 to 100");
  }
  if (request.cache_salt.size() > kMaxSaltBytes) {
    return OutOfRange("cache_salt: length in bytes", request.cache_salt.size(),
                      "0 to 256");
  }
  if (request.max_thought_tokens >= 0 && !tokenizes) {
    return absl::InvalidArgumentError(
        "max_thought_tokens: the model has no tokenizer, so its thoughts "
        "cannot "
        "be told");
  }
  if (request.grammar != nullptr && !tokenizes) {
    return absl::InvalidArgumentError(
        "format: the model has no tokenizer, so its text cannot be given one");
  }
  return absl::OkStatus();
}

}  // namespace facet
