// Decides what each step runs. Pure: no I/O, no threads, no clock; the same
// calls in the same order give the same plans.
//
// Order. Every request has a rank: the count of requests before it plus
// kPriorityStride for each unit of `priority`; lower runs first. So a request
// is overtaken only by the at most kPriorityStride * (difference of priorities)
// requests that come after it with a more urgent priority: nobody starves.
//
// A step. Decode first (every running sequence of the step's micro-batch yields
// one token), then prefill chunks fill what is left of max_step_tokens: at
// least half of that goes to the first in order, the rest to those with the
// least left to prefill, so that a short prompt does not wait behind a long
// one.
//
// Memory. A request is admitted, in order, once the pages of its prompt that
// the prefix cache does not hold fit beside what the running ones still need
// for theirs, with a page to spare for each running sequence. When a running
// sequence finds no page for its next tokens, the last in order gives up its
// pages and waits again at its old rank; it is computed anew, mostly from the
// prefix cache, and no token it has shown changes. A waiting request of a more
// urgent priority takes the place of running ones of a less urgent one in the
// same way.
//
// Pipelining. PlanStep() may be called while steps before have no result yet:
// sequences whose last token is not known go on with kSampledToken. With
// several micro-batches a step decodes one of them, so that every pipeline
// stage has one to work on.
#ifndef FACET_SCHEDULER_BATCHING_SCHEDULER_H_
#define FACET_SCHEDULER_BATCHING_SCHEDULER_H_

#include <cstdint>
#include <deque>
#include <list>
#include <memory>
#include <optional>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/plan/step_plan.h"
#include "scheduler/batching/request.h"
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
  int micro_batches = 1;  // pipeline stages
  // Steps planned and not applied, the one being planned included: stages + 1
  // where the executor pipelines.
  int max_unapplied = 1;
  // Across requests; samples of one request share always.
  bool prefix_cache = true;
};

// Requests that one unit of priority is worth.
inline constexpr int64_t kPriorityStride = 64;

// Pages of one pool.
struct PoolUse {
  int32_t held = 0;    // by running sequences
  int32_t cached = 0;  // by the prefix cache alone: free when needed
  int32_t blank = 0;   // by neither
};

struct SchedulerStats {
  int waiting = 0;
  int running = 0;
  // Counts since the start.
  int64_t preemptions = 0;
  int64_t prefix_queries = 0;  // tokens of sequences when they began
  int64_t prefix_hits = 0;     // of these, found in the cache
  PoolUse sliding;
  PoolUse global;
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

  // Of a masked sequence: the tokens that may follow those it has. Serves for
  // one token. Without effect for a sequence that has ended.
  void SetMask(SequenceId sequence, std::shared_ptr<const TokenMask> mask);

  // The next step, or nothing when there is nothing to do now.
  //
  // REQUIRES: fewer than max_unapplied steps are unapplied.
  std::optional<StepPlan> PlanStep();

  // Takes in the result of the oldest unapplied step.
  //
  // Errors: INTERNAL when `result` does not answer that plan: another step
  // number, a missing, unknown or unasked token, rows of logits that do not add
  // up. The scheduler is of no use after that.
  absl::StatusOr<std::vector<SequenceUpdate>> Apply(StepResult result);

  // Steps planned and not applied.
  int unapplied() const { return planned_.has_value() ? 1 : 0; }

  // The workers have lost all pages and tables: forgets the cache and the
  // unapplied steps, and computes every running sequence anew, in order.
  void Restart();

  SchedulerStats stats() const;
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
