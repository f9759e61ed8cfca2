// One forward pass of a batch as the coordinator describes it to every rank,
// and what comes back. Plain values: they neither own pages nor run anything.
#ifndef FACET_RUNTIME_PLAN_STEP_PLAN_H_
#define FACET_RUNTIME_PLAN_STEP_PLAN_H_

#include <cstdint>
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
// token id. Order: temperature, top-k, top-p, min-p.
struct SamplingParams {
  float temperature = 0.0f;
  int top_k = 0;         // 0: off
  float top_p = 1.0f;    // in (0, 1]; 1: off
  float min_p = 0.0f;    // in [0, 1); 0: off
  uint64_t seed = 0;     // with the position, the only source of randomness
  bool logprob = false;  // of the sampled token, before temperature
  int top_logprobs = 0;  // of the best tokens; 0 to 64
};

enum class LogitsWanted : uint8_t { kNone, kLast, kAll };

// Consecutive new tokens of one sequence.
struct SequenceSlice {
  SequenceId sequence;
  std::vector<int32_t> tokens;  // at least one
  int64_t start = 0;            // position of tokens[0]
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
  LogitsWanted logits = LogitsWanted::kNone;  // rows to send back whole
};

struct StepPlan {
  uint64_t step = 0;  // rises by one
  std::vector<SequenceSlice> slices;
  // Sequences that ended: their tables are dropped before the step runs. A step
  // may consist of these alone.
  std::vector<SequenceId> finished;
  // As far as the coordinator knows, the next step decodes one more token of
  // each of these sequences and does nothing else. Workers may start on it
  // before they are told: see RankRunner::RunAhead().
  bool run_ahead = false;
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
  std::vector<SampledToken> tokens;  // in slice order
  std::vector<LogitsBlock> logits;
  absl::Duration compute;  // of the slowest rank, waits for peers included
};

// OK when `plan` can run on `model` with these pools: token ids in the
// vocabulary, positions and page ids in range, counts bounded. Workers call it
// before they touch anything.
absl::Status ValidateStepPlan(const StepPlan& plan, const ModelConfig& model,
                              const KvPoolSizes& pools);

}  // namespace facet

#endif  // FACET_RUNTIME_PLAN_STEP_PLAN_H_
