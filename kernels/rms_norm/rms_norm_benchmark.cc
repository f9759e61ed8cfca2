// Norms of a hidden state, of the heads of one token and of a prefill chunk, on
// one thread; GB/s of input, residual and output.
//
//   bazel run //kernels/rms_norm:rms_norm_benchmark
#include <cstdio>
#include <vector>

#include "kernels/rms_norm/rms_norm.h"
#include "kernels/testing/median_time.h"

namespace facet {
namespace {

void Measure(const RmsNormVariant& variant, int64_t rows, int64_t width) {
  std::vector<float> x(rows * width, 0.5f), weight(width, 1.5f), y(x);
  RmsNormArgs args;
  args.rows = rows;
  args.width = width;
  args.x = x.data();
  args.x_stride = width;
  args.weight = weight.data();
  args.residual = y.data();
  args.y = y.data();
  args.y_stride = width;
  const double us =
      MedianMicroseconds([&] { variant.run(args, 0, args.rows); });
  std::printf("%-10s rows=%-5ld width=%-5ld %9.2f us  %7.2f GB/s\n",
              variant.name, static_cast<long>(rows), static_cast<long>(width),
              us, 12.0 * rows * width / us / 1e3);
}

}  // namespace
}  // namespace facet

int main() {
  for (const facet::RmsNormVariant& variant : facet::RmsNormVariants()) {
    facet::Measure(variant, 1, 5376);
    facet::Measure(variant, 32, 256);
    facet::Measure(variant, 512, 2816);
  }
  return 0;
}
