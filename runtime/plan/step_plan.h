// One forward pass of a batch as the coordinator describes it to every rank,
// and what comes back. Plain values: they neither own pages nor run anything.
#ifndef FACET_RUNTIME_PLAN_STEP_PLAN_H_
#define FACET_RUNTIME_PLAN_STEP_PLAN_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "runtime/config/model_config.h"

namespace facet {

// The index of one page in a pool. Not a token position, not a byte offset.
// The same id names the same tokens on every rank; each rank's page holds its
// own layers and KV heads of them.
struct PageId {
  int32_t value = -1;
  friend bool operator==(PageId a, PageId b) { return a.value == b.value; }
};

// Unique over the life of a coordinator.
struct SequenceId {
  uint64_t value = 0;
  friend bool operator==(SequenceId a, SequenceId b) {
    return a.value == b.value;
  }
  template <typename H>
  friend H AbslHashValue(H h, SequenceId id) {
    return H::combine(std::move(h), id.value);
  }
};

// Tokens per page and pages per pool. The sliding and the global layers each
// have a pool of their own, with a page shape of their own.
struct KvPoolSizes {
  int page_tokens = 32;
  int32_t sliding_pages = 0;
  int32_t global_pages = 0;
};

// How the next token is drawn. temperature 0 is greedy; ties go to the lower
// token id. Order: bias, penalties, forbidden tokens, temperature, top-k,
// top-p, min-p. Log-probabilities are those of the model, before all of it.
struct SamplingParams {
  float temperature = 0.0f;
  int top_k = 0;         // 0: off
  float top_p = 1.0f;    // in (0, 1]; 1: off
  float min_p = 0.0f;    // in [0, 1); 0: off
  uint64_t seed = 0;     // with the position, the only source of randomness
  bool logprob = false;  // of the sampled token
  int top_logprobs = 0;  // of the best tokens; 0 to 64
  // Of tokens in prompt or answer: a positive logit is divided by it, a
  // negative one multiplied. Above 0; 1: off (Keskar et al., arXiv:1909.05858,
  // sec. 4.1).
  float repetition_penalty = 1.0f;
  // Of tokens in the answer: taken off their logits once, and once per
  // occurrence. -2 to 2; 0: off.
  float presence_penalty = 0.0f;
  float frequency_penalty = 0.0f;

  bool Penalises() const {
    return repetition_penalty != 1 || presence_penalty != 0 ||
           frequency_penalty != 0;
  }
};

// Stands for the token that the sequence's slice before drew. Workers know it
// before the coordinator does, so the step after can be handed over without it.
inline constexpr int32_t kSampledToken = -1;

struct TokenBias {
  int32_t token = 0;
  float bias = 0;  // added to the logit; -100 and below forbid the token
};

// Tokens that may be drawn: bit t % 64 of word t / 64, for a whole vocabulary.
using TokenMask = std::vector<uint64_t>;

// What workers are told once of a sequence, with the first slice they see of
// it. Its pages below the slice's start hold equal tokens of other sequences
// already; they are shared and only read.
struct SequenceStart {
  int64_t prompt_tokens = 0;  // positions below are the prompt's
  // Those at [0, start), when a penalty counts them; otherwise empty.
  std::vector<int32_t> earlier_tokens;
  std::vector<TokenBias> logit_bias;  // each token at most once
  // Not drawn at positions below `late_position`: what ends an answer must wait
  // for its least length.
  std::vector<int32_t> late_tokens;
  int64_t late_position = 0;
};

enum class LogitsWanted : uint8_t { kNone, kLast, kAll };

// Consecutive new tokens of one sequence.
struct SequenceSlice {
  SequenceId sequence;
  std::vector<int32_t> tokens;  // at least one; or kSampledToken alone
  int64_t start = 0;            // position of tokens[0]
  // Present exactly in the first slice since the sequence was unknown to the
  // workers or named in StepPlan::finished. `start` is then a multiple of
  // page_tokens, and the new pages include the shared ones: all global pages
  // below start, the sliding ones from sliding_first_page on.
  std::optional<SequenceStart> begins;
  // Pages appended to the sequence's tables before the step runs; the tables
  // then reach past start + tokens.size().
  std::vector<PageId> new_sliding_pages;
  std::vector<PageId> new_global_pages;
  // Table entries of the sliding pool below this page index (position /
  // page_tokens) are behind the window of `start` and belong to the coordinator
  // again.
  int64_t sliding_first_page = 0;

  bool sample = false;  // draw one token after the last position
  SamplingParams sampling;
  std::shared_ptr<const TokenMask> mask;      // null: any token may be drawn
  LogitsWanted logits = LogitsWanted::kNone;  // rows to send back whole
  // Log-probabilities of the prompt's own tokens: -1 none; otherwise, for each
  // position of this slice whose next token is the prompt's, of that token and
  // of so many of the best.
  int prompt_logprobs = -1;
  // The prompt's token behind this slice, if prompt_logprobs wants it; -1: the
  // prompt ends with this slice.
  int32_t next_prompt_token = -1;
};

struct StepPlan {
  uint64_t step = 0;  // rises by one
  std::vector<SequenceSlice> slices;
  // Sequences that ended: their tables are dropped before the step runs. A step
  // may consist of these alone.
  std::vector<SequenceId> finished;
  // The coordinator has the results of all steps up to this one.
  uint64_t completed = 0;
};

struct TokenLogprob {
  int32_t token = 0;
  float logprob = 0;
};

struct SampledToken {
  SequenceId sequence;
  int32_t token = 0;
  float logprob = 0;              // natural log, after the softcap; if wanted
  std::vector<TokenLogprob> top;  // best first; if wanted
};

// The log-probability of one token of a prompt, given those before it.
struct PromptLogprob {
  SequenceId sequence;
  int64_t position = 0;  // of the token; 1 at least
  int32_t token = 0;
  float logprob = 0;
  std::vector<TokenLogprob> top;  // best first
};

// Logits of consecutive positions over a run of the vocabulary: f32
// [rows, vocab_end - vocab_begin], row-major, softcap applied.
struct LogitsBlock {
  SequenceId sequence;
  int64_t first_position = 0;
  int64_t rows = 0;
  int64_t vocab_begin = 0;
  int64_t vocab_end = 0;
  std::vector<float> values;
};

struct StepResult {
  uint64_t step = 0;
  std::vector<SampledToken> tokens;            // in slice order
  std::vector<PromptLogprob> prompt_logprobs;  // in order of slice and position
  std::vector<LogitsBlock> logits;
  absl::Duration compute;  // of the slowest rank, waits for peers included
  std::vector<absl::Duration> rank_compute;  // by rank; may be empty
};

// OK when `plan` can run on `model` with these pools: token ids in the
// vocabulary, positions and page ids in range, counts bounded. Workers call it
// before they touch anything.
absl::Status ValidateStepPlan(const StepPlan& plan, const ModelConfig& model,
                              const KvPoolSizes& pools);

}  // namespace facet

#endif  // FACET_RUNTIME_PLAN_STEP_PLAN_H_
