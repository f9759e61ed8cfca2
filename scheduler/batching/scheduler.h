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
#include <memory>
#include <optional>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/plan/step_plan.h"
#include "scheduler/batching/admission.h"
#include "scheduler/batching/check_request.h"
#include "scheduler/batching/planned_step.h"
#include "scheduler/batching/prefill_budget.h"
#include "scheduler/batching/request.h"
#include "scheduler/batching/sequence.h"
#include "scheduler/batching/waiting_queue.h"
#include "scheduler/pages/page_table.h"

namespace facet {

struct SchedulerLimits {
  KvPoolSizes pools;
  int64_t vocab_size = 0;
  int sliding_window = 0;
  int64_t max_positions = 0;  // the model's context
  int max_step_tokens = 512;
  int max_sequences = 64;  // running at once
  // Rows of logits that one step sends back whole: bounds its reply, which is
  // vocab_size floats per row.
  int max_logits_rows = 512;
  int micro_batches = 1;  // pipeline stages
  // Steps planned and not applied, the one being planned included: stages + 1
  // where the executor pipelines.
  int max_unapplied = 1;
  // Across requests; samples of one request share always.
  bool prefix_cache = true;
};

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
  // max_tokens below 1 (0 when rows of the prompt are wanted), another value
  // out of range, or a prompt that the context or the KV memory cannot hold,
  // with what was drawn for it elsewhere.
  absl::Status Check(const SequenceRequest& request) const;

  // The most positions one sequence can have.
  int64_t MostPositions() const { return request_limits_.most_positions; }

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
  int unapplied() const { return static_cast<int>(unapplied_.size()); }

  // The workers have lost all pages and tables: forgets the cache and the
  // unapplied steps, and computes every running sequence anew, in order.
  void Restart();

  SchedulerStats stats() const;
  int waiting() const { return waiting_.size(); }
  int running() const { return static_cast<int>(running_.size()); }

 private:
  // Moves waiting sequences into the running ones as far as they fit.
  void Admit();
  void Start(Sequence* sequence, const CachedPrefix& prefix);
  // Takes a running sequence's pages; it waits again, at its old place.
  void Preempt(Sequence* sequence);
  // Takes its pages and what its present run has come to.
  void StopRunning(Sequence* sequence);
  // One sequence less in it; another one takes the place if it is now too
  // small.
  void LeaveMicroBatch(int micro_batch);
  // Ends its run or its wait, and forgets it.
  void End(Sequence* sequence);

  // Sets Sequence::chunk of all running ones.
  void ChooseChunks();
  int64_t ChooseDecodes();
  void ChoosePrefills(int64_t budget);
  // The most tokens that the next slice of a prefilling sequence may have.
  int64_t MostPrefill(const Sequence& sequence) const;
  // Shares what has been cached since it was admitted. REQUIRES: not begun.
  void LookAgainForPrefix(Sequence* sequence);
  // False: it was the last in order and has given up its own pages.
  bool MakeRoom(Sequence* sequence);
  void PlanSlice(Sequence* sequence, SequenceSlice* out, PlannedSlice* planned);
  SequenceStart BeginningOf(const Sequence& sequence) const;

  // `out`: what `slice` has brought `sequence`, whose run is the slice's.
  void ApplySlice(Sequence* sequence, const PlannedSlice& slice,
                  SampledToken* token, SequenceUpdate* out);

  const SchedulerLimits limits_;
  RequestLimits request_limits_;
  int max_running_ = 0;
  PageTable pages_;
  Admission admission_;

  absl::flat_hash_map<SequenceId, std::unique_ptr<Sequence>> sequences_;
  WaitingQueue waiting_;
  std::vector<Sequence*> running_;      // in order
  std::vector<int> micro_batch_sizes_;  // differ by one at most
  int next_micro_batch_ = 0;
  std::vector<PrefillWish> wishes_;  // kept for its memory

  std::deque<PlannedStep> unapplied_;
  std::vector<SequenceId> finished_;  // not yet told to the workers
  uint64_t next_step_ = 1;
  uint64_t completed_ = 0;
  uint64_t next_run_ = 1;
  int64_t arrivals_ = 0;
  int64_t preemptions_ = 0;
  int64_t prefix_queries_ = 0;
  int64_t prefix_hits_ = 0;
};

}  // namespace facet

#endif  // FACET_SCHEDULER_BATCHING_SCHEDULER_H_
