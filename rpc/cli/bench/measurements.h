// What a benchmark run took down, before anything is divided by anything.
#ifndef FACET_RPC_CLI_BENCH_MEASUREMENTS_H_
#define FACET_RPC_CLI_BENCH_MEASUREMENTS_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "kernels/machine_limits/machine_limits.h"
#include "rpc/cli/bench/checkpoint_pages.h"
#include "rpc/cli/bench/collectives.h"
#include "rpc/cli/bench/long_context.h"

namespace facet {

struct LoadRuns {
  PageCacheState cache;               // before the first
  std::vector<double> ready_s;        // from Start() to all workers ready
  std::vector<double> first_token_s;  // from Start() to a prompt's first token
  std::vector<double> disk_read_s;    // reading the files; cold loads alone
};

// `batch` sequences that decode side by side, one token each per step.
struct DecodeRuns {
  int batch = 1;
  double context = 0;                // mean tokens before the decoded one
  std::vector<double> tokens_per_s;  // summed over the sequences, by repetition
  std::vector<double> step_s;        // of every step
  std::vector<double> control_s;  // of every step, less the slowest rank's work
  // Before the first repetition, between two and after the last; empty where
  // limits are not measured.
  std::vector<LimitSample> limits;
};

struct PrefillRuns {
  int tokens = 0;  // of the one prompt
  std::vector<double> tokens_per_s;
  std::vector<LimitSample> limits;  // as above
};

struct AllReduceRuns {
  int64_t bytes = 0;
  AllReduceTimes measured;
  AllReduceTimes bare;
};

struct MemoryUse {
  int processes = 0;
  int64_t pss_bytes = 0;  // of all workers together
  int64_t anonymous_bytes = 0;
  int64_t weight_bytes = 0;  // that the model has to read
  int64_t kv_bytes = 0;      // of all pages ever granted, over all ranks
};

// One worker of `workers` threads against `workers` tensor-parallel workers of
// one thread each, turn about.
struct WorkerComparison {
  int workers = 0;
  DecodeRuns one_decode, many_decode;
  PrefillRuns one_prefill, many_prefill;
};

// One worker of `workers` threads against a pipeline of `workers` stages of one
// thread, turn about.
struct PipelineComparison {
  int workers = 0;
  struct Batch {
    DecodeRuns one, many;
  };
  std::vector<Batch> batches;
};

// Decode alone and beside busy processes, turn about.
struct BusyRuns {
  int processes = 0;
  DecodeRuns quiet, busy;
};

// What was not asked for is empty.
struct Measurements {
  std::optional<LoadRuns> load;
  std::optional<MachineLimits> before;
  std::optional<MachineLimits> after;
  std::vector<DecodeRuns> decode;
  std::vector<PrefillRuns> prefill;
  std::optional<LongContextRuns> long_context;
  std::optional<AllReduceRuns> all_reduce;
  std::optional<MemoryUse> memory;
  std::optional<WorkerComparison> comparison;
  std::optional<PipelineComparison> pipeline;
  std::optional<BusyRuns> busy;
  // Share of the run in which some thread waited for a CPU; below 0: unknown.
  double cpu_pressure = -1;
  int64_t largest_cache_bytes = 0;  // 0: unknown
};

}  // namespace facet

#endif  // FACET_RPC_CLI_BENCH_MEASUREMENTS_H_
