// The activation of one token and of a prefill chunk, on one thread.
//
//   bazel run //kernels/gated_gelu:gated_gelu_benchmark
#include <cstdio>
#include <vector>

#include "kernels/gated_gelu/gated_gelu.h"
#include "kernels/testing/median_time.h"

namespace facet {
namespace {

void Measure(const GatedGeluVariant& variant, int64_t rows, int64_t width) {
  std::vector<float> gate(rows * width), up(rows * width, 0.5f), y(gate);
  for (size_t i = 0; i < gate.size(); ++i) gate[i] = 0.01f * (i % 800) - 4;
  GatedGeluArgs args;
  args.rows = rows;
  args.width = width;
  args.gate = gate.data();
  args.gate_stride = width;
  args.up = up.data();
  args.up_stride = width;
  args.y = y.data();
  args.y_stride = width;
  const double us =
      MedianMicroseconds([&] { variant.run(args, 0, args.rows); });
  std::printf("%-10s rows=%-5ld width=%-5ld %9.2f us  %7.3f ns an element\n",
              variant.name, static_cast<long>(rows), static_cast<long>(width),
              us, 1e3 * us / (rows * width));
}

}  // namespace
}  // namespace facet

int main() {
  for (const facet::GatedGeluVariant& variant : facet::GatedGeluVariants()) {
    facet::Measure(variant, 1, 21504);
    facet::Measure(variant, 64, 6144);
  }
  return 0;
}
