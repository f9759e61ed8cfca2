#include "kernels/gated_gelu/gated_gelu.h"

#include <algorithm>

#include "kernels/base/variants.h"
#include "kernels/gated_gelu/gated_gelu_variants.h"

namespace facet {
namespace {

constexpr GatedGeluVariant kBestFirst[] = {
    {"avx512", Isa::kAvx512, &GatedGeluAvx512},
    {"avx2", Isa::kAvx2, &GatedGeluAvx2},
    {"reference", Isa::kReference, &GatedGeluReference},
};

// Columns handed out together: one wide row is work for several threads too.
constexpr int64_t kColumns = 2048;
// Elements a thread takes at least: a few microseconds of work.
constexpr int64_t kGrain = 4096;

}  // namespace

absl::Span<const GatedGeluVariant> GatedGeluVariants() {
  return RunnableVariants(kBestFirst);
}

const GatedGeluVariant& ActiveGatedGelu() { return ActiveVariant(kBestFirst); }

void GatedGelu(const GatedGeluArgs& args, ThreadPool& pool) {
  const GatedGeluVariant& variant = ActiveVariant(kBestFirst);
  if (args.width <= 0) return;
  const int64_t columns = std::min(args.width, kColumns);
  const int64_t pieces = (args.width + columns - 1) / columns;
  const int64_t grain = std::max<int64_t>(1, kGrain / columns);
  pool.ParallelFor(args.rows * pieces, grain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t row = i / pieces;
      const int64_t column = i % pieces * columns;
      GatedGeluArgs piece = args;
      piece.width = std::min(columns, args.width - column);
      piece.gate += column;
      piece.up += column;
      piece.y += column;
      variant.run(piece, row, row + 1);
    }
  });
}

}  // namespace facet
