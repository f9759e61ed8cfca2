// The choice of 8 experts of 128, on one thread.
//
//   bazel run //kernels/router:router_benchmark
#include <cstdio>
#include <vector>

#include "kernels/router/router.h"
#include "kernels/testing/median_time.h"

namespace facet {
namespace {

void Measure(const RouterVariant& variant, int64_t tokens) {
  constexpr int kExperts = 128, kChosen = 8;
  std::vector<float> logits(tokens * kExperts), scale(kExperts, 1.0f),
      probabilities(tokens * kExperts), weights(tokens * kChosen);
  std::vector<int32_t> chosen(tokens * kChosen);
  for (size_t i = 0; i < logits.size(); ++i) logits[i] = 0.1f * (i * 37 % 97);
  RouterArgs args;
  args.tokens = tokens;
  args.experts = kExperts;
  args.experts_per_token = kChosen;
  args.logits = logits.data();
  args.per_expert_scale = scale.data();
  args.probabilities = probabilities.data();
  args.chosen = chosen.data();
  args.weights = weights.data();
  const double us = MedianMicroseconds([&] { variant.run(args, 0, tokens); });
  std::printf("%-10s tokens=%-5ld %9.2f us  %7.3f us a token\n", variant.name,
              static_cast<long>(tokens), us, us / tokens);
}

}  // namespace
}  // namespace facet

int main() {
  for (const facet::RouterVariant& variant : facet::RouterVariants()) {
    facet::Measure(variant, 1);
    facet::Measure(variant, 512);
  }
  return 0;
}
