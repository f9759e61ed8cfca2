#include "runtime/plan/step_plan.h"

#include <algorithm>
#include <cmath>

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
  return absl::OkStatus();
}

// Pages that one step grants out of one pool, each once.
class PageGrants {
 public:
  PageGrants(const char* field, int32_t pool_pages)
      : field_(field), pool_pages_(pool_pages) {}

  // `most`: no sequence of this length needs more.
  absl::Status Take(const std::vector<PageId>& pages, int64_t most) {
    if (static_cast<int64_t>(pages.size()) > most) {
      return Refuse(field_, ": ", pages.size(), " pages, expected at most ",
                    most, " for a sequence of this length");
    }
    for (const PageId page : pages) {
      if (page.value < 0 || page.value >= pool_pages_) {
        return Refuse(field_, ": page ", page.value, ", expected below ",
                      pool_pages_, ", the size of the pool");
      }
      if (!taken_.insert(page.value).second) {
        return Refuse(field_, ": page ", page.value, " is granted twice");
      }
    }
    return absl::OkStatus();
  }

 private:
  const char* const field_;
  const int32_t pool_pages_;
  absl::flat_hash_set<int32_t> taken_;
};

absl::Status CheckTokens(const SequenceSlice& slice, const ModelConfig& model) {
  if (slice.tokens.empty()) return Refuse("tokens: expected at least one");
  const auto count = static_cast<int64_t>(slice.tokens.size());
  if (slice.start < 0 || slice.start > model.max_position_embeddings - count) {
    return Refuse("start: positions ", slice.start, " and ", count - 1,
                  " more, expected within the model's ",
                  model.max_position_embeddings);
  }
  for (const int32_t token : slice.tokens) {
    if (token < 0 || token >= model.vocab_size) {
      return Refuse("tokens: id ", token, ", expected below the vocabulary's ",
                    model.vocab_size);
    }
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
      FACET_RETURN_IF_ERROR(sliding.Take(slice.new_sliding_pages, pages));
      FACET_RETURN_IF_ERROR(global.Take(slice.new_global_pages, pages));
      FACET_RETURN_IF_ERROR(CheckFirstPage(slice, model, pools.page_tokens));
      if (slice.sample) FACET_RETURN_IF_ERROR(CheckSampling(slice.sampling));
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
