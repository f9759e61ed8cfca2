// Sampling from a vocabulary of 262,144, in microseconds per token on one
// thread.
//
//   bazel run //kernels/sampling:sampling_benchmark
#include <cstdio>
#include <random>
#include <vector>

#include "kernels/sampling/draw_row.h"
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
  for (int k : {1, 64, 256, 1000, kVocab}) {
    std::printf("  TopLogits k=%-7d %9.1f us\n", k, MedianMicroseconds([&] {
                  sink += TopLogits(logits, 0, k).size();
                }));
  }
  std::printf("  SumExp              %9.1f us\n",
              MedianMicroseconds([&] { sink += SumExp(logits).sum > 0; }));
  DrawOptions options;
  options.temperature = 1;
  options.top_p = 0.95f;
  const std::vector<TokenLogit> best = TopLogits(logits, 0, 64);
  std::printf("  Draw from 64        %9.1f us\n", MedianMicroseconds([&] {
                sink += Draw(best, options);
                ++options.position;
              }));
  const Softmax softmax = {best[0].logit, 1.0f};
  std::printf("  MassOf              %9.1f us\n", MedianMicroseconds([&] {
                sink += MassOf(logits, softmax, 0).all;
              }));
  const uint64_t mass = MassOf(logits, softmax, 0).all;
  std::printf("  WalkTo the middle   %9.1f us\n", MedianMicroseconds([&] {
                sink += WalkTo(mass / 2, logits, softmax, {});
              }));
  std::printf("  NucleusSearch       %9.1f us\n", MedianMicroseconds([&] {
                NucleusSearch search(softmax, mass / 100 * 95, mass, kVocab);
                for (int digit = 0; digit < NucleusSearch::kDigits; ++digit) {
                  std::vector<uint64_t> by(NucleusSearch::kDigitValues);
                  search.AddMassByDigit(logits, absl::MakeSpan(by));
                  search.Narrow(by);
                }
                sink += search.ties_kept();
              }));
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
