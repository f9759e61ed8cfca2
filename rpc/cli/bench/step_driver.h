// Runs sequences through an executor and takes the time of every step: the
// engine's loop without clients, threads and text.
#ifndef FACET_RPC_CLI_BENCH_STEP_DRIVER_H_
#define FACET_RPC_CLI_BENCH_STEP_DRIVER_H_

#include <cstdint>
#include <functional>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/statusor.h"
#include "runtime/config/model_config.h"
#include "runtime/executor/executor.h"
#include "scheduler/batching/scheduler.h"

namespace facet {

struct StepTiming {
  int64_t tokens = 0;    // computed by the step
  int64_t slices = 0;    // sequences that took part
  int64_t context = 0;   // tokens before them, summed over the slices
  double seconds = 0;    // planning, executing and applying
  double execute_s = 0;  // Execute() alone
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

  // Runs all prompts to their ends: `max_tokens` greedy tokens each, no stop.
  // `after`, where there is one, is called after every step and before the next
  // one is handed over; its time is nobody's.
  //
  // Errors: INVALID_ARGUMENT for a prompt that context or KV memory cannot
  // hold; those of Executor::Execute().
  absl::StatusOr<std::vector<StepTiming>> Run(
      std::vector<std::vector<int32_t>> prompts, int64_t max_tokens,
      const std::function<void(const StepTiming&)>& after = nullptr);

  // Tokens that a prompt of `length` consists of, ordinary ids drawn from
  // `seed`.
  std::vector<int32_t> RandomPrompt(int64_t length, uint64_t seed) const;

  PagesTouched pages_touched() const;

 private:
  absl::StatusOr<StepTiming> Step(const StepPlan& plan);

  Executor* const executor_;
  const int64_t vocab_size_;
  Scheduler scheduler_;
  uint64_t next_sequence_ = 1;
  absl::flat_hash_set<int32_t> sliding_touched_;
  absl::flat_hash_set<int32_t> global_touched_;
};

}  // namespace facet

#endif  // FACET_RPC_CLI_BENCH_STEP_DRIVER_H_
