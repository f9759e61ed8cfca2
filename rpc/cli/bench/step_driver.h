// Runs sequences through an executor and takes the time of every step: the
// engine's loop without clients, threads and text.
#ifndef FACET_RPC_CLI_BENCH_STEP_DRIVER_H_
#define FACET_RPC_CLI_BENCH_STEP_DRIVER_H_

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/statusor.h"
#include "runtime/config/model_config.h"
#include "runtime/executor/executor.h"
#include "scheduler/batching/scheduler.h"

namespace facet {

struct StepTiming {
  int64_t tokens = 0;   // computed by the step
  int64_t slices = 0;   // sequences that took part
  int64_t context = 0;  // tokens before them, summed over the slices
  // Until its result is applied: from being handed over or, if that was later,
  // from the moment the step before it was done.
  double seconds = 0;
  double compute_s = 0;  // of the slowest rank, as it says itself
};

// One token for each of `batch` sequences and nothing else.
bool IsDecodeOf(int64_t batch, const StepTiming& step);

// Pages that were ever granted, by pool.
struct PagesTouched {
  int64_t sliding = 0;
  int64_t global = 0;
};

// Serves one cluster from its first step on. `executor` outlives it.
class StepDriver {
 public:
  StepDriver(Executor* executor, const ModelConfig& model, int max_step_tokens,
             int max_sequences);

  // What is told of a run. Both may be null.
  struct Listener {
    // A step is done. True: a break comes before the next one that is told of.
    std::function<bool(const StepTiming& step)> after_step;
    // Nothing runs; the time this takes is nobody's.
    std::function<void()> on_break;
  };

  // Runs all prompts to their ends: `max_tokens` greedy tokens each, no stop.
  // As many steps run as there are pipeline stages, and one more is handed over
  // meanwhile, as a server does; a break waits for them, and they count
  // nowhere.
  //
  // Errors: INVALID_ARGUMENT for a prompt that context or KV memory cannot
  // hold; those of the executor.
  absl::StatusOr<std::vector<StepTiming>> Run(
      std::vector<std::vector<int32_t>> prompts, int64_t max_tokens,
      const Listener& listener = {});

  // Tokens that a prompt of `length` consists of, ordinary ids drawn from
  // `seed`.
  std::vector<int32_t> RandomPrompt(int64_t length, uint64_t seed) const;

  PagesTouched pages_touched() const;

 private:
  struct InFlight {
    StepTiming timing;
    std::chrono::steady_clock::time_point start;
  };

  // False: there is nothing to hand over.
  absl::StatusOr<bool> Start();
  absl::StatusOr<StepTiming> Finish();

  Executor* const executor_;
  const int64_t vocab_size_;
  Scheduler scheduler_;
  uint64_t next_sequence_ = 1;
  std::deque<InFlight> in_flight_;
  std::chrono::steady_clock::time_point idle_since_;
  absl::flat_hash_set<int32_t> sliding_touched_;
  absl::flat_hash_set<int32_t> global_touched_;
};

}  // namespace facet

#endif  // FACET_RPC_CLI_BENCH_STEP_DRIVER_H_
