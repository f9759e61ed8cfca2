// How to wait for a peer that is probably about to act: look again for a while,
// as a Spinner does, then sleep. A wake-up costs more than an exchange of
// decode size, so sleeping comes last; on a machine with more ranks than
// processors looking would take the peer's time, so others run between looks.
#ifndef FACET_RUNTIME_COMM_BACKOFF_H_
#define FACET_RUNTIME_COMM_BACKOFF_H_

#include <chrono>

#include "kernels/base/spinner.h"

namespace facet {

// Of one thread, for all its waits.
class Backoff {
 public:
  // `oversubscribed`: this machine has fewer processors than ranks.
  explicit Backoff(bool oversubscribed) : oversubscribed_(oversubscribed) {}

  // Waits a moment; false when it is time to sleep. Makes system calls only
  // where oversubscribed.
  bool Spin();
  // What was waited for has come, or part of it.
  void Reset();

 private:
  const bool oversubscribed_;
  bool waiting_ = false;
  Spinner spinner_;
  std::chrono::steady_clock::time_point yield_end_;
};

// How many processors this process may use.
int UsableProcessors();

}  // namespace facet

#endif  // FACET_RUNTIME_COMM_BACKOFF_H_
