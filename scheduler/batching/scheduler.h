// Decides what each step runs. Pure: no I/O, no threads, no clock; the same
// calls in the same order give the same plans.
//
// Decode goes first (every running sequence yields one token), then prefill
// chunks fill what is left of max_step_tokens, oldest request first. A request
// is admitted, in order of arrival, once the most pages it can ever hold fit
// beside the most that the running ones can; so a grant never fails and nothing
// has to be preempted.
#ifndef FACET_SCHEDULER_BATCHING_SCHEDULER_H_
#define FACET_SCHEDULER_BATCHING_SCHEDULER_H_

#include <cstdint>
#include <deque>
#include <list>
#include <optional>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/plan/step_plan.h"
#include "scheduler/pages/page_table.h"

namespace facet {

struct SchedulerLimits {
  KvPoolSizes pools;
  int64_t vocab_size = 0;
  int sliding_window = 0;
  int64_t max_positions = 0;  // the model's context
  int max_step_tokens = 512;
  int max_sequences = 64;  // running at once
  // Most tokens of one slice that sends its logits back whole: bounds a step's
  // reply, which is vocab_size floats per token.
  int max_logits_rows = 512;
};

struct SequenceRequest {
  std::vector<int32_t> prompt;
  SamplingParams sampling;
  int64_t max_tokens = 1;
  std::vector<int32_t> stop_ids;  // the one that ends it is reported
  // All rows of logits of the prompt, and no token.
  bool prompt_logits = false;
};

enum class SequenceEnd { kNotYet, kStop, kLength };

// What one step brought one sequence.
struct SequenceUpdate {
  SequenceId sequence;
  std::optional<SampledToken> token;
  std::vector<LogitsBlock> logits;
  SequenceEnd end = SequenceEnd::kNotYet;
};

class Scheduler {
 public:
  // REQUIRES: limits are positive.
  explicit Scheduler(const SchedulerLimits& limits);

  // OK when `request` can run once it is alone. Reads the limits only, so any
  // thread may ask.
  //
  // Errors: INVALID_ARGUMENT for an empty prompt, a token id out of range,
  // max_tokens below 1 (0 with prompt_logits), or a prompt that the context or
  // the KV memory cannot hold.
  absl::Status Check(const SequenceRequest& request) const;

  // The most positions one sequence can have.
  int64_t MostPositions() const { return most_positions_; }

  // Queues a request. max_tokens is cut to what context and KV memory leave
  // beside the prompt; the sequence then ends with kLength.
  //
  // REQUIRES: Check(request) is OK; `id` was never used before.
  void Add(SequenceId id, SequenceRequest request);

  // Forgets a sequence; its pages are free at once. Without effect when it has
  // ended. Between PlanStep() and Apply() too: what the step brings it is
  // dropped.
  void Cancel(SequenceId sequence);

  // The next step, or nothing when there is nothing to do.
  //
  // REQUIRES: the step before has been applied.
  std::optional<StepPlan> PlanStep();

  // Takes in the result of the step planned last.
  //
  // Errors: INTERNAL when `result` does not answer that plan: another step
  // number, a missing, unknown or unasked token, rows of logits that do not add
  // up. The scheduler is of no use after that.
  absl::StatusOr<std::vector<SequenceUpdate>> Apply(StepResult result);

  int waiting() const { return static_cast<int>(waiting_.size()); }
  int running() const { return static_cast<int>(running_.size()); }
  const PageTable& pages() const { return pages_; }

 private:
  struct Sequence {
    SequenceId id;
    SequenceRequest request;  // its prompt moved to `tokens`
    int64_t prompt_length = 0;
    std::vector<int32_t> tokens;  // prompt and answer
    int64_t computed = 0;         // of tokens: their K/V are in pages
    int64_t in_flight = 0;        // of tokens: being computed
    PageDemand reserved;
    SequencePages pages;
    int64_t pending() const {
      return static_cast<int64_t>(tokens.size()) - computed - in_flight;
    }
    bool prefilling() const { return computed == 0 || pending() != 1; }
  };
  using SequenceList = std::list<Sequence>;

  // Adds the next `count` tokens of `sequence` to `plan`.
  void PlanSlice(Sequence* sequence, int64_t count, StepPlan* plan);
  // The pages the oldest waiting request can ever need, if it may start now.
  std::optional<PageDemand> RoomForNext() const;
  void End(SequenceList::iterator sequence);
  const SchedulerLimits limits_;
  int64_t most_positions_ = 0;
  PageTable pages_;
  PageDemand reserved_;  // of all running sequences

  SequenceList waiting_;  // oldest first
  SequenceList running_;  // oldest first
  absl::flat_hash_map<SequenceId, SequenceList::iterator> by_id_;  // running

  uint64_t next_step_ = 1;
  std::optional<StepPlan> planned_;   // not yet applied
  std::vector<SequenceId> finished_;  // not yet told to the workers
};

}  // namespace facet

#endif  // FACET_SCHEDULER_BATCHING_SCHEDULER_H_
