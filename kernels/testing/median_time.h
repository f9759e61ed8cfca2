// Timing for benchmarks.
#ifndef FACET_KERNELS_TESTING_MEDIAN_TIME_H_
#define FACET_KERNELS_TESTING_MEDIAN_TIME_H_

#include <algorithm>
#include <chrono>
#include <vector>

#include "absl/functional/function_ref.h"

namespace facet {

// Microseconds of one call of `body`: the median of many.
inline double MedianMicroseconds(absl::FunctionRef<void()> body) {
  constexpr int kRepeats = 51;
  body();
  std::vector<double> took;
  for (int repeat = 0; repeat < kRepeats; ++repeat) {
    const auto start = std::chrono::steady_clock::now();
    body();
    const std::chrono::duration<double, std::micro> spent =
        std::chrono::steady_clock::now() - start;
    took.push_back(spent.count());
  }
  std::nth_element(took.begin(), took.begin() + kRepeats / 2, took.end());
  return took[kRepeats / 2];
}

}  // namespace facet

#endif  // FACET_KERNELS_TESTING_MEDIAN_TIME_H_
