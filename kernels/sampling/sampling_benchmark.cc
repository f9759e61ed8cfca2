// Sampling from a vocabulary of 262,144, in microseconds per token on one
// thread.
//
//   bazel run //kernels/sampling:sampling_benchmark
#include <cstdio>
#include <random>
#include <vector>

#include "kernels/sampling/sampling.h"
#include "kernels/testing/median_time.h"

namespace facet {
namespace {

constexpr int kVocab = 262144;

void MeasureAll() {
  std::mt19937 random(1);
  std::normal_distribution<float> normal(0.0f, 4.0f);
  std::vector<float> logits(kVocab);
  for (float& v : logits) v = normal(random);
  size_t sink = 0;
  for (int k : {1, 64, 1000, kVocab}) {
    std::printf("  TopLogits k=%-7d %9.1f us\n", k, MedianMicroseconds([&] {
                  sink += TopLogits(logits, 0, k).size();
                }));
  }
  std::printf("  SumExp              %9.1f us\n",
              MedianMicroseconds([&] { sink += SumExp(logits).sum > 0; }));
  DrawOptions options;
  options.temperature = 1;
  options.top_p = 0.95f;
  for (int k : {64, kVocab}) {
    const std::vector<TokenLogit> candidates = TopLogits(logits, 0, k);
    std::printf("  Draw from %-7d   %9.1f us\n", k, MedianMicroseconds([&] {
                  sink += Draw(candidates, options);
                  ++options.position;
                }));
  }
  std::printf("  (%zu)\n", sink);
}

}  // namespace
}  // namespace facet

int main() {
  for (const facet::SamplingVariant& variant : facet::SamplingVariants()) {
    facet::SetActiveIsaForTest(variant.isa);
    std::printf("%s\n", variant.name);
    facet::MeasureAll();
  }
  return 0;
}
