// Rows of a bf16 table, on one thread; GB/s of table and output.
//
//   bazel run //kernels/embedding:embedding_benchmark
#include <cstdio>
#include <vector>

#include "kernels/embedding/embedding.h"
#include "kernels/testing/median_time.h"

namespace facet {
namespace {

void Measure(const EmbeddingVariant& variant, int tokens, int64_t width) {
  constexpr int kRows = 8192;
  std::vector<BF16> table(kRows * width, BF16{0x3c12});
  std::vector<int32_t> rows(tokens);
  for (int i = 0; i < tokens; ++i) rows[i] = i * 1237 % kRows;
  std::vector<float> y(tokens * width);
  EmbeddingArgs args;
  args.rows = rows;
  args.table = table.data();
  args.table_stride = width;
  args.width = width;
  args.scale = 39.25f;
  args.y = y.data();
  args.y_stride = width;
  const double us = MedianMicroseconds([&] { variant.run(args, 0, tokens); });
  std::printf("%-10s tokens=%-5d width=%-5ld %9.2f us  %7.2f GB/s\n",
              variant.name, tokens, static_cast<long>(width), us,
              6.0 * tokens * width / us / 1e3);
}

}  // namespace
}  // namespace facet

int main() {
  for (const facet::EmbeddingVariant& variant : facet::EmbeddingVariants()) {
    facet::Measure(variant, 1, 1536);
    facet::Measure(variant, 512, 1536);
  }
  return 0;
}
