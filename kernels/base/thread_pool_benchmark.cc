// What a parallel region costs that does nothing: from the call to the return,
// p50 and p99, for 1 … N threads, back to back and after a gap in which the
// caller computes alone.
//
//   bazel run //kernels/base:thread_pool_benchmark -- [--threads=N]
//       [--regions=N] [--pin]
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <string>
#include <vector>

#include "kernels/base/thread_pool.h"

namespace facet {
namespace {

using Clock = std::chrono::steady_clock;

struct Options {
  int threads = static_cast<int>(AvailableCpus().size());
  int regions = 200'000;
  bool pin = false;
};

struct Times {
  double p50_us = 0;
  double p99_us = 0;
};

template <typename Region>
Times Measure(int regions, int gap_us, const Region& region) {
  std::vector<double> times;
  times.reserve(regions);
  for (int i = 0; i < regions; ++i) {
    const auto gap_end = Clock::now() + std::chrono::microseconds(gap_us);
    while (gap_us > 0 && Clock::now() < gap_end) {
    }
    const auto start = Clock::now();
    region();
    times.push_back(
        std::chrono::duration<double, std::micro>(Clock::now() - start)
            .count());
  }
  std::sort(times.begin(), times.end());
  return {times[times.size() / 2], times[times.size() * 99 / 100]};
}

void Print(const char* what, int threads, int gap_us, Times times) {
  std::printf("%-15s threads=%-3d gap=%-4d us  p50 %8.2f us  p99 %8.2f us\n",
              what, threads, gap_us, times.p50_us, times.p99_us);
  std::fflush(stdout);
}

void MeasureAll(int threads, const Options& options) {
  const std::vector<int> cpus =
      options.pin ? AvailableCpus() : std::vector<int>();
  ThreadPool pool(threads, cpus);
  if (options.pin) PinThisThread(cpus[0]);
  for (int gap_us : {0, 20, 500}) {
    const int regions =
        gap_us == 0 ? options.regions : options.regions / (1 + gap_us);
    Print("Run", threads, gap_us,
          Measure(regions, gap_us, [&] { pool.Run([](int) {}); }));
    Print("ParallelFor", threads, gap_us, Measure(regions, gap_us, [&] {
            pool.ParallelFor(64, 1, [](int64_t, int64_t) {});
          }));
    Print("ParallelDynamic", threads, gap_us, Measure(regions, gap_us, [&] {
            pool.ParallelDynamic(64, [](int, int64_t) {});
          }));
  }
}

}  // namespace
}  // namespace facet

int main(int argc, char** argv) {
  facet::Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (std::sscanf(argv[i], "--threads=%d", &options.threads) == 1 ||
        std::sscanf(argv[i], "--regions=%d", &options.regions) == 1) {
      continue;
    }
    if (argument == "--pin") {
      options.pin = true;
      continue;
    }
    std::fprintf(stderr, "usage: %s [--threads=N] [--regions=N] [--pin]\n",
                 argv[0]);
    return 2;
  }
  for (int threads = 1; threads <= options.threads; ++threads) {
    facet::MeasureAll(threads, options);
  }
  return 0;
}
