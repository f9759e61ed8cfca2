// How to wait for a peer that is probably about to act: look again at once for
// a few microseconds, then let others run between looks, then sleep. A wake-up
// costs more than an exchange of decode size, so sleeping comes last; on a
// machine with more ranks than processors, spinning would take the peer's time,
// so it is cut short.
#ifndef FACET_RUNTIME_COMM_BACKOFF_H_
#define FACET_RUNTIME_COMM_BACKOFF_H_

#include <cstdint>

namespace facet {

class Backoff {
 public:
  // `oversubscribed`: this machine has fewer processors than ranks.
  explicit Backoff(bool oversubscribed) : oversubscribed_(oversubscribed) {}

  // Waits a moment; false when it is time to sleep.
  bool Spin();
  void Reset() { round_ = 0; }

 private:
  bool oversubscribed_;
  int round_ = 0;
  int64_t spin_end_ns_ = 0;
};

// How many processors this process may use.
int UsableProcessors();

}  // namespace facet

#endif  // FACET_RUNTIME_COMM_BACKOFF_H_
