// The pages of a checkpoint as a benchmark sees them: which are in the page
// cache, and how fast this machine reads them.
#ifndef FACET_RPC_CLI_BENCH_CHECKPOINT_PAGES_H_
#define FACET_RPC_CLI_BENCH_CHECKPOINT_PAGES_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "kernels/base/thread_pool.h"
#include "kernels/machine_limits/machine_limits.h"
#include "runtime/checkpoint/checkpoint.h"

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

// Measures limits over the mapped matrices of a checkpoint, at most 4 GiB of
// them. It shares those pages with all who map them, so a figure of memory is
// to be taken when it is gone.
class LimitMeter {
 public:
  // Errors: those of Checkpoint::Open() and Prefault(); FAILED_PRECONDITION
  // when it holds no bf16 matrix.
  static absl::StatusOr<std::unique_ptr<LimitMeter>> Open(
      const std::string& model_directory, int threads);

  MachineLimits Measure(int repeats);

  // REQUIRES: `matvec_rows` comes from Measure().
  LimitSample Sample(int matvec_rows);

 private:
  LimitMeter(std::unique_ptr<Checkpoint> checkpoint, int threads);

  const std::unique_ptr<Checkpoint> checkpoint_;
  const std::vector<absl::Span<const BF16>> matrices_;
  ThreadPool pool_;
};

}  // namespace facet

#endif  // FACET_RPC_CLI_BENCH_CHECKPOINT_PAGES_H_
