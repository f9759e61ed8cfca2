// Shows on stderr how far the weights are: a bar that moves on a terminal, one
// line at the end elsewhere.
#ifndef FACET_RPC_CLI_LOAD_PROGRESS_H_
#define FACET_RPC_CLI_LOAD_PROGRESS_H_

#include <cstdint>
#include <mutex>

#include "absl/time/time.h"

namespace facet {

class LoadProgressBar {
 public:
  // `always`: the line at the end is wanted where stderr is no terminal.
  explicit LoadProgressBar(bool always);

  // From any thread.
  void Update(int64_t done, int64_t total);

  // Leaves one line that says what was loaded, how fast.
  void Finish();

 private:
  void Print(bool last);

  const bool terminal_;
  const bool always_;
  const absl::Time start_;
  std::mutex mutex_;
  absl::Time printed_;
  int64_t done_ = 0;
  int64_t total_ = 0;
};

}  // namespace facet

#endif  // FACET_RPC_CLI_LOAD_PROGRESS_H_
