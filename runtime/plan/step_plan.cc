#include "runtime/plan/step_plan.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"

namespace facet {
namespace {

// Far above what a scheduler asks for; below what would harm a worker.
constexpr size_t kMaxSlices = 1 << 16;
constexpr size_t kMaxFinished = 1 << 20;
constexpr int64_t kMaxStepTokens = 1 << 20;
constexpr int64_t kMaxLogits = int64_t{1} << 30;  // f32 values, 4 GiB
constexpr int kMaxTopLogprobs = 64;
constexpr float kMaxTemperature = 1000.0f;
constexpr size_t kMaxBiases = 1024;
constexpr size_t kMaxLateTokens = 1024;

template <typename... Parts>
absl::Status Refuse(const Parts&... parts) {
  return absl::InvalidArgumentError(absl::StrCat(parts...));
}

absl::Status CheckSampling(const SamplingParams& sampling) {
  // Written so that a NaN fails.
  if (!(sampling.temperature >= 0 && sampling.temperature <= kMaxTemperature)) {
    return Refuse("temperature: expected 0 to ", kMaxTemperature, ", found ",
                  sampling.temperature);
  }
  if (sampling.top_k < 0) {
    return Refuse("top_k: expected 0 or more, found ", sampling.top_k);
  }
  if (!(sampling.top_p > 0 && sampling.top_p <= 1)) {
    return Refuse("top_p: expected above 0 and up to 1, found ",
                  sampling.top_p);
  }
  if (!(sampling.min_p >= 0 && sampling.min_p < 1)) {
    return Refuse("min_p: expected 0 or more and below 1, found ",
                  sampling.min_p);
  }
  if (sampling.top_logprobs < 0 || sampling.top_logprobs > kMaxTopLogprobs) {
    return Refuse("top_logprobs: expected 0 to ", kMaxTopLogprobs, ", found ",
                  sampling.top_logprobs);
  }
  if (!(sampling.repetition_penalty > 0 &&
        std::isfinite(sampling.repetition_penalty))) {
    return Refuse("repetition_penalty: expected above 0, found ",
                  sampling.repetition_penalty);
  }
  for (const auto& [name, penalty] :
       {std::pair("presence_penalty", sampling.presence_penalty),
        std::pair("frequency_penalty", sampling.frequency_penalty)}) {
    if (!(penalty >= -2 && penalty <= 2)) {
      return Refuse(name, ": expected -2 to 2, found ", penalty);
    }
  }
  return absl::OkStatus();
}

// Words of a mask that covers the vocabulary exactly, with a token to draw.
absl::Status CheckMask(const TokenMask& mask, int64_t vocab_size) {
  const int64_t words = (vocab_size + 63) / 64;
  if (static_cast<int64_t>(mask.size()) != words) {
    return Refuse("mask: ", mask.size(), " words, expected ", words,
                  " for the vocabulary's ", vocab_size);
  }
  const int64_t unused = words * 64 - vocab_size;
  uint64_t any = mask.back() << unused;
  for (int64_t i = 0; i + 1 < words; ++i) any |= mask[i];
  if (any == 0) return Refuse("mask: no token may be drawn");
  return absl::OkStatus();
}

// Pages that one step names of one pool: each is written by one slice, or
// shared by any number that only read it.
class PageGrants {
 public:
  PageGrants(const char* field, int32_t pool_pages)
      : field_(field), pool_pages_(pool_pages) {}

  // The first `shared` of `pages` are read. `most`: no sequence of this length
  // needs more.
  absl::Status Take(const std::vector<PageId>& pages, int64_t shared,
                    int64_t most) {
    const auto count = static_cast<int64_t>(pages.size());
    if (count > most) {
      return Refuse(field_, ": ", count, " pages, expected at most ", most,
                    " for a sequence of this length");
    }
    for (int64_t i = 0; i < count; ++i) {
      const int32_t page = pages[i].value;
      if (page < 0 || page >= pool_pages_) {
        return Refuse(field_, ": page ", page, ", expected below ", pool_pages_,
                      ", the size of the pool");
      }
      if (i >= shared && !written_.insert(page).second) {
        return Refuse(field_, ": page ", page, " is granted twice");
      }
      if (i < shared) shared_.insert(page);
      if (written_.contains(page) && shared_.contains(page)) {
        return Refuse(field_, ": page ", page,
                      " is granted and shared in one step");
      }
    }
    return absl::OkStatus();
  }

 private:
  const char* const field_;
  const int32_t pool_pages_;
  absl::flat_hash_set<int32_t> written_;
  absl::flat_hash_set<int32_t> shared_;
};

absl::Status CheckToken(const char* field, int32_t token,
                        const ModelConfig& model) {
  if (token >= 0 && token < model.vocab_size) return absl::OkStatus();
  return Refuse(field, ": id ", token, ", expected below the vocabulary's ",
                model.vocab_size);
}

absl::Status CheckBegins(const SequenceSlice& slice, const ModelConfig& model,
                         int page_tokens) {
  const SequenceStart& begins = *slice.begins;
  if (slice.start % page_tokens != 0) {
    return Refuse("begins: at position ", slice.start,
                  ", expected a multiple of ", page_tokens,
                  ", the tokens of a page");
  }
  if (begins.prompt_tokens < 1 ||
      begins.prompt_tokens > model.max_position_embeddings) {
    return Refuse("begins: prompt_tokens: expected 1 to ",
                  model.max_position_embeddings, ", found ",
                  begins.prompt_tokens);
  }
  const auto earlier = static_cast<int64_t>(begins.earlier_tokens.size());
  if (earlier != 0 && earlier != slice.start) {
    return Refuse("begins: earlier_tokens: ", earlier,
                  " tokens, expected 0 or ", slice.start,
                  ", the slice's start");
  }
  for (const int32_t token : begins.earlier_tokens) {
    FACET_RETURN_IF_ERROR(CheckToken("begins: earlier_tokens", token, model));
  }
  if (begins.logit_bias.size() > kMaxBiases) {
    return Refuse("begins: logit_bias: ", begins.logit_bias.size(),
                  " tokens, expected at most ", kMaxBiases);
  }
  absl::flat_hash_set<int32_t> biased;
  for (const TokenBias& bias : begins.logit_bias) {
    FACET_RETURN_IF_ERROR(CheckToken("begins: logit_bias", bias.token, model));
    if (!std::isfinite(bias.bias)) {
      return Refuse("begins: logit_bias: ", bias.bias, " for token ",
                    bias.token, ", expected a finite number");
    }
    if (!biased.insert(bias.token).second) {
      return Refuse("begins: logit_bias: token ", bias.token,
                    " is named twice");
    }
  }
  if (begins.late_tokens.size() > kMaxLateTokens) {
    return Refuse("begins: late_tokens: ", begins.late_tokens.size(),
                  " tokens, expected at most ", kMaxLateTokens);
  }
  for (const int32_t token : begins.late_tokens) {
    FACET_RETURN_IF_ERROR(CheckToken("begins: late_tokens", token, model));
  }
  return absl::OkStatus();
}

absl::Status CheckPromptLogprobs(const SequenceSlice& slice,
                                 const ModelConfig& model) {
  if (slice.prompt_logprobs < -1 || slice.prompt_logprobs > kMaxTopLogprobs) {
    return Refuse("prompt_logprobs: expected -1 to ", kMaxTopLogprobs,
                  ", found ", slice.prompt_logprobs);
  }
  if (slice.next_prompt_token == -1) return absl::OkStatus();
  return CheckToken("next_prompt_token", slice.next_prompt_token, model);
}

absl::Status CheckTokens(const SequenceSlice& slice, const ModelConfig& model) {
  if (slice.tokens.empty()) return Refuse("tokens: expected at least one");
  const auto count = static_cast<int64_t>(slice.tokens.size());
  if (slice.start < 0 || slice.start > model.max_position_embeddings - count) {
    return Refuse("start: positions ", slice.start, " and ", count - 1,
                  " more, expected within the model's ",
                  model.max_position_embeddings);
  }
  if (count == 1 && slice.tokens[0] == kSampledToken) {
    if (!slice.begins.has_value() && slice.prompt_logprobs < 0) {
      return absl::OkStatus();
    }
    return Refuse(
        "tokens: a sampled token cannot ",
        slice.begins.has_value() ? "begin a sequence" : "belong to a prompt");
  }
  for (const int32_t token : slice.tokens) {
    FACET_RETURN_IF_ERROR(CheckToken("tokens", token, model));
  }
  return absl::OkStatus();
}

absl::Status CheckFirstPage(const SequenceSlice& slice,
                            const ModelConfig& model, int page_tokens) {
  const int64_t first_seen =
      std::max<int64_t>(0, slice.start - model.sliding_window + 1);
  const int64_t most = first_seen / page_tokens;
  if (slice.sliding_first_page < 0 || slice.sliding_first_page > most) {
    return Refuse("sliding_first_page: ", slice.sliding_first_page,
                  ", expected 0 to ", most, ": position ", slice.start,
                  " still sees position ", first_seen);
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status ValidateStepPlan(const StepPlan& plan, const ModelConfig& model,
                              const KvPoolSizes& pools) {
  if (pools.page_tokens < 1) {
    return Refuse("page_tokens: expected at least 1, found ",
                  pools.page_tokens);
  }
  if (plan.slices.empty() && plan.finished.empty()) {
    return Refuse("step ", plan.step, " has no slices and ends no sequence");
  }
  if (plan.slices.size() > kMaxSlices || plan.finished.size() > kMaxFinished) {
    return Refuse("step ", plan.step, " has ", plan.slices.size(),
                  " slices and ends ", plan.finished.size(),
                  " sequences, expected at most ", kMaxSlices, " and ",
                  kMaxFinished);
  }
  if (plan.completed > 0 && plan.completed >= plan.step) {
    return Refuse("completed: step ", plan.completed,
                  ", expected below this one's ", plan.step);
  }
  absl::flat_hash_set<SequenceId> sequences;
  for (const SequenceId id : plan.finished) {
    if (!sequences.insert(id).second) {
      return Refuse("finished: sequence ", id.value, " is named twice");
    }
  }
  PageGrants sliding("new_sliding_pages", pools.sliding_pages);
  PageGrants global("new_global_pages", pools.global_pages);
  int64_t tokens = 0;
  int64_t logits = 0;
  for (const SequenceSlice& slice : plan.slices) {
    const std::string where = absl::StrCat("sequence ", slice.sequence.value);
    if (!sequences.insert(slice.sequence).second) {
      return Refuse(where, " has two slices, or a slice though it ended");
    }
    const auto check = [&]() -> absl::Status {
      FACET_RETURN_IF_ERROR(CheckTokens(slice, model));
      const auto count = static_cast<int64_t>(slice.tokens.size());
      const int64_t pages =
          (slice.start + count + pools.page_tokens - 1) / pools.page_tokens;
      FACET_RETURN_IF_ERROR(CheckFirstPage(slice, model, pools.page_tokens));
      int64_t shared = 0;  // page indices below it are
      if (slice.begins.has_value()) {
        FACET_RETURN_IF_ERROR(CheckBegins(slice, model, pools.page_tokens));
        shared = slice.start / pools.page_tokens;
      }
      FACET_RETURN_IF_ERROR(sliding.Take(
          slice.new_sliding_pages,
          std::max<int64_t>(0, shared - slice.sliding_first_page), pages));
      FACET_RETURN_IF_ERROR(global.Take(slice.new_global_pages, shared, pages));
      FACET_RETURN_IF_ERROR(CheckPromptLogprobs(slice, model));
      if (slice.sample) {
        FACET_RETURN_IF_ERROR(CheckSampling(slice.sampling));
        if (slice.mask != nullptr) {
          FACET_RETURN_IF_ERROR(CheckMask(*slice.mask, model.vocab_size));
        }
      }
      tokens += count;
      if (slice.logits != LogitsWanted::kNone) {
        const bool all = slice.logits == LogitsWanted::kAll;
        logits += (all ? count : 1) * model.vocab_size;
      }
      return absl::OkStatus();
    };
    FACET_RETURN_IF_ERROR(Annotate(check(), where));
  }
  if (tokens > kMaxStepTokens) {
    return Refuse("step ", plan.step, " has ", tokens,
                  " tokens, expected at most ", kMaxStepTokens);
  }
  if (logits > kMaxLogits) {
    return Refuse("step ", plan.step, " wants ", logits,
                  " logits back, expected at most ", kMaxLogits,
                  "; ask for fewer rows at a time");
  }
  return absl::OkStatus();
}

}  // namespace facet
