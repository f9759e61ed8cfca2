// The pages of a checkpoint as a benchmark sees them: which are in the page
// cache, and how fast this machine reads them.
#ifndef FACET_RPC_CLI_BENCH_CHECKPOINT_PAGES_H_
#define FACET_RPC_CLI_BENCH_CHECKPOINT_PAGES_H_

#include <string>

#include "absl/status/statusor.h"
#include "kernels/machine_limits/machine_limits.h"

namespace facet {

struct PageCacheState {
  int64_t bytes = 0;  // of all tensors
  double cached = 0;  // share of them, 0 to 1
};

// Errors: those of Checkpoint::Open().
absl::StatusOr<PageCacheState> ReadPageCacheState(
    const std::string& model_directory);

// Asks the kernel to forget the files of the checkpoint and nothing else; pages
// that some process has mapped stay.
void DropFromPageCache(const std::string& model_directory);

// Seconds to read the files of the checkpoint from end to end with one thread:
// what a load from disk takes at least. Errors: NOT_FOUND when one cannot be
// read.
absl::StatusOr<double> TimeReadingFiles(const std::string& model_directory);

// Limits with `threads` threads over the mapped matrices of the checkpoint, at
// most 4 GiB of them; the mapping is gone afterwards.
//
// Errors: those of Checkpoint::Open() and Prefault(); FAILED_PRECONDITION when
// it holds no bf16 matrix.
absl::StatusOr<MachineLimits> MeasureLimitsOver(
    const std::string& model_directory, int threads, int repeats);

}  // namespace facet

#endif  // FACET_RPC_CLI_BENCH_CHECKPOINT_PAGES_H_
