// How long a thread looks again before it goes to sleep.
//
// A wait between the threads of one step mostly ends within microseconds, and a
// sleep costs tens of them, so looking again comes first. On cores that others
// want too, what is waited for may have lost its own core, perhaps to the very
// thread that looks: looking is then cut short, and tried at length only now
// and then, until it pays again. No system calls.
#ifndef FACET_KERNELS_BASE_SPINNER_H_
#define FACET_KERNELS_BASE_SPINNER_H_

#include <algorithm>
#include <chrono>
#include <cstdint>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace facet {

// Of one waiting thread: waits follow each other. Usage:
//
//   spinner.Begin();
//   while (!came() && spinner.Spin()) {
//   }
//   spinner.End(came());  // then sleep, if it did not
class Spinner {
 public:
  // The longest and the shortest time to look. A scheduler's slice is some
  // milliseconds, the gap between two kernels of a step some microseconds.
  static constexpr std::chrono::nanoseconds kMost{100'000};
  static constexpr std::chrono::nanoseconds kLeast{2'000};

  void Begin() {
    looks_ = 0;
    // At length now and then: nobody knows else that it pays again.
    if (budget_ < kMost && ++short_waits_ % kShortWaits == 0) budget_ = kMost;
  }

  // Lets a moment pass. False: it is time to sleep.
  bool Spin() {
#if defined(__x86_64__)
    _mm_pause();
#endif
    // The clock costs as much as a pause, and most waits are over before it
    // matters.
    if (++looks_ % kLooksPerClock != 0) return true;
    const auto now = std::chrono::steady_clock::now();
    if (looks_ == kLooksPerClock) end_ = now + budget_;
    return now < end_;
  }

  // `came`: what was waited for came while this thread looked.
  void End(bool came) {
    budget_ = came ? kMost : std::max(budget_ / 2, kLeast);
  }

  std::chrono::nanoseconds budget() const { return budget_; }

 private:
  static constexpr uint32_t kLooksPerClock = 32;
  static constexpr uint32_t kShortWaits = 64;

  std::chrono::nanoseconds budget_ = kMost;
  std::chrono::steady_clock::time_point end_;
  uint32_t looks_ = 0;
  uint32_t short_waits_ = 0;
};

}  // namespace facet

#endif  // FACET_KERNELS_BASE_SPINNER_H_
