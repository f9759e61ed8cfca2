// Matrix products of every variant on this machine, in GFLOP/s and GB/s of
// weights, one thread and all threads.
//
//   bazel run //kernels/matmul:matmul_benchmark
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <thread>
#include <vector>

#include "kernels/matmul/matmul.h"

namespace facet {
namespace {

double Median(std::vector<double> v) {
  std::sort(v.begin(), v.end());
  return v[v.size() / 2];
}

void Measure(int64_t m, int64_t n, int64_t k, int segments, bool rounded,
             int threads) {
  ThreadPool pool(threads);
  // More copies than the caches hold, so that weights come from memory.
  const int64_t copies =
      std::max<int64_t>(1, (int64_t{256} << 20) / (n * k * 2));
  std::vector<BF16> w(copies * n * k, BF16{0x3c12});
  std::vector<float> x(m * k, 0.5f), y(m * n);
  std::vector<double> seconds;
  for (int repeat = 0; repeat < 5; ++repeat) {
    const auto start = std::chrono::steady_clock::now();
    const int64_t runs = m > 64 ? 1 : copies;
    for (int64_t c = 0; c < runs; ++c) {
      MatmulArgs args;
      args.m = m;
      args.n = n;
      args.k = k;
      args.x = x.data();
      args.x_stride = k;
      args.w = w.data() + c * n * k;
      args.w_stride = k;
      args.segments = segments;
      args.bf16_inputs = rounded;
      args.y = y.data();
      args.y_stride = n;
      Matmul(absl::MakeConstSpan(&args, 1), pool);
    }
    const std::chrono::duration<double> took =
        std::chrono::steady_clock::now() - start;
    seconds.push_back(took.count() / runs);
  }
  const double s = Median(seconds);
  std::printf(
      "%-11s %s m=%-4ld n=%-6ld k=%-6ld seg=%d threads=%d  %8.2f GFLOP/s  "
      "%7.2f GB/s\n",
      Name(ActiveIsa()), rounded ? "bf16" : "f32 ", static_cast<long>(m),
      static_cast<long>(n), static_cast<long>(k), segments, threads,
      2.0 * m * n * k / s / 1e9, 2.0 * n * k / s / 1e9);
}

}  // namespace
}  // namespace facet

int main() {
  using namespace facet;  // NOLINT
  const int cpus = static_cast<int>(std::thread::hardware_concurrency());
  for (Isa isa : SupportedIsas()) {
    if (isa == Isa::kReference) continue;
    SetActiveIsaForTest(isa);
    for (int threads : {1, cpus}) {
      for (int64_t m : {1, 2, 4, 8, 32, 512}) {
        Measure(m, 6144, 1536, 1, false, threads);
      }
      Measure(1, 1536, 6144, 8, false, threads);
      Measure(512, 1536, 6144, 8, false, threads);
      if (isa == Isa::kAvx512Bf16) {
        Measure(1, 6144, 1536, 1, true, threads);
        Measure(512, 6144, 1536, 1, true, threads);
      }
    }
  }
  return 0;
}
