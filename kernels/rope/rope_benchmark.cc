// Sines for tokens, and the rotation of 8 heads of 256, on one thread.
//
//   bazel run //kernels/rope:rope_benchmark
#include <cstdio>
#include <vector>

#include "kernels/rope/rope.h"
#include "kernels/testing/median_time.h"

namespace facet {
namespace {

void Measure(const RopeVariant& variant, int64_t tokens) {
  constexpr int kHeads = 8, kHeadDim = 256, kPairs = kHeadDim / 2;
  std::vector<float> x(tokens * kHeads * kHeadDim, 0.5f);
  std::vector<float> cos(tokens * kPairs), sin(tokens * kPairs);
  std::vector<int64_t> positions(tokens);
  for (int64_t i = 0; i < tokens; ++i) positions[i] = 1000 + i;
  const std::vector<float> frequencies =
      RopeFrequencies(1e4, kHeadDim, kPairs, 1.0);
  ThreadPool one_thread(1);
  const double table_us = MedianMicroseconds([&] {
    RopeTable(positions, frequencies, cos.data(), sin.data(), one_thread);
  });
  RopeArgs args;
  args.tokens = tokens;
  args.heads = kHeads;
  args.head_dim = kHeadDim;
  args.rotated_pairs = kPairs;
  args.cos = cos.data();
  args.sin = sin.data();
  args.x = x.data();
  args.token_stride = kHeads * kHeadDim;
  const double us = MedianMicroseconds([&] { variant.run(args, 0, tokens); });
  std::printf("%-10s tokens=%-5ld table %9.2f us  rotation %9.2f us\n",
              variant.name, static_cast<long>(tokens), table_us, us);
}

}  // namespace
}  // namespace facet

int main() {
  for (const facet::RopeVariant& variant : facet::RopeVariants()) {
    facet::Measure(variant, 1);
    facet::Measure(variant, 512);
  }
  return 0;
}
