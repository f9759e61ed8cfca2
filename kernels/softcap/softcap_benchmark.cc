// The cap on the logits of one token, on one thread.
//
//   bazel run //kernels/softcap:softcap_benchmark
#include <cstdio>
#include <vector>

#include "kernels/softcap/softcap.h"
#include "kernels/testing/median_time.h"

namespace facet {
namespace {

void Measure(const SoftcapVariant& variant, int64_t count) {
  std::vector<float> x(count, 1.5f);
  const double us =
      MedianMicroseconds([&] { variant.run(x.data(), count, 30.0f); });
  std::printf("%-10s count=%-7ld %9.2f us  %7.3f ns an element\n", variant.name,
              static_cast<long>(count), us, 1e3 * us / count);
}

}  // namespace
}  // namespace facet

int main() {
  for (const facet::SoftcapVariant& variant : facet::SoftcapVariants()) {
    facet::Measure(variant, 262144);
  }
  return 0;
}
