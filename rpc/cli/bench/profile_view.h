// `facet bench --profile`: where the time of a step goes, operation by
// operation, against what each had to read and to compute.
#ifndef FACET_RPC_CLI_BENCH_PROFILE_VIEW_H_
#define FACET_RPC_CLI_BENCH_PROFILE_VIEW_H_

#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "kernels/backend/profile.h"
#include "kernels/machine_limits/machine_limits.h"
#include "rpc/cli/bench/measure.h"
#include "runtime/config/model_config.h"

namespace facet {

// One kind of step: "decode, 1 sequence", "prefill, 512 tokens".
struct PhaseProfile {
  std::string name;
  int64_t steps = 0;
  double compute_s = 0;  // of all steps, as the worker says
  std::vector<OperationProfile> operations;
  // Means of samples right before and right after.
  LimitSample limits;
};

// The least time that the machine allows for bytes and floating-point
// operations: the longer of the two. 0 where no limit is known.
double BoundSeconds(double bytes, double flops, const LimitSample& limits);

// On one worker in this process: every batch of `options` that decodes, and
// every prompt.
//
// Errors: FAILED_PRECONDITION for more than one worker; those of Measure().
absl::StatusOr<std::vector<PhaseProfile>> MeasureProfile(
    const BenchOptions& options, const ModelConfig& model);

using Setting = std::vector<std::pair<std::string, std::string>>;
std::string ProfileTable(const Setting& setting,
                         const std::vector<PhaseProfile>& phases);
std::string ProfileJson(const Setting& setting,
                        const std::vector<PhaseProfile>& phases);

}  // namespace facet

#endif  // FACET_RPC_CLI_BENCH_PROFILE_VIEW_H_
