// --device as people write it.
#ifndef FACET_RUNTIME_EXECUTOR_RANK_DEVICE_H_
#define FACET_RUNTIME_EXECUTOR_RANK_DEVICE_H_

#include <string>

#include "absl/status/statusor.h"
#include "runtime/executor/rank_runner.h"

namespace facet {

// "cpu", "cuda" or "cuda:N". Nothing is opened yet; what comes back is empty
// for the processors. "cuda" is the GPU of index `rank_on_machine`.
//
// Errors: INVALID_ARGUMENT for other text, and for GPUs in a build without
// CUDA.
absl::StatusOr<OpenRankDevice> ParseDevice(const std::string& text,
                                           int rank_on_machine);

}  // namespace facet

#endif  // FACET_RUNTIME_EXECUTOR_RANK_DEVICE_H_
