// A moment on the clock that nobody can set back.
#ifndef FACET_RUNTIME_COMM_DEADLINE_H_
#define FACET_RUNTIME_COMM_DEADLINE_H_

#include <algorithm>
#include <chrono>
#include <cstdint>

#include "absl/time/time.h"

namespace facet {

class Deadline {
 public:
  Deadline() = default;  // has passed
  // Durations beyond a year mean a year.
  static Deadline After(absl::Duration duration) {
    const absl::Duration bounded =
        std::clamp(duration, absl::ZeroDuration(), absl::Hours(24 * 365));
    return Deadline(std::chrono::steady_clock::now() +
                    absl::ToChronoNanoseconds(bounded));
  }

  // Not positive once it has passed.
  absl::Duration left() const {
    return absl::FromChrono(at_ - std::chrono::steady_clock::now());
  }
  bool passed() const { return left() <= absl::ZeroDuration(); }

  // For poll(): rounded up, so that poll() does not return just before it.
  int PollMilliseconds() const {
    return static_cast<int>(
        std::clamp<int64_t>(absl::ToInt64Milliseconds(left()) + 1, 0, 60'000));
  }

  friend bool operator<(Deadline a, Deadline b) { return a.at_ < b.at_; }

 private:
  explicit Deadline(std::chrono::steady_clock::time_point at) : at_(at) {}

  std::chrono::steady_clock::time_point at_{};
};

}  // namespace facet

#endif  // FACET_RUNTIME_COMM_DEADLINE_H_
