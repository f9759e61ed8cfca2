// What a run of the serving benchmark took down.
#ifndef FACET_RPC_CLI_BENCH_SERVING_SERVING_MEASUREMENTS_H_
#define FACET_RPC_CLI_BENCH_SERVING_SERVING_MEASUREMENTS_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "kernels/machine_limits/machine_limits.h"
#include "rpc/cli/bench/serving/run_load.h"
#include "rpc/cli/bench/serving/step_recorder.h"

namespace facet {

struct ServedLoad {
  LoadShape shape;
  LoadResult seen;
  // What a server elsewhere does not tell stays empty.
  std::vector<ServedStep> steps;
  std::optional<LimitSample> before;
  std::optional<LimitSample> after;
};

// Two requests with the same beginning, one after the other.
struct PrefixUse {
  int64_t shared_tokens = 0;
  int64_t cached_tokens = 0;  // found for the second
  double first_s = 0;         // to the first token
  double second_s = 0;
};

struct ServingMeasurements {
  std::vector<ServedLoad> loads;
  std::optional<PrefixUse> prefix;
  double cpu_pressure = -1;  // as in Measurements
};

}  // namespace facet

#endif  // FACET_RPC_CLI_BENCH_SERVING_SERVING_MEASUREMENTS_H_
