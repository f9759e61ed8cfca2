#include "kernels/rms_norm/rms_norm.h"

#include <algorithm>

#include "kernels/base/check.h"
#include "kernels/base/variants.h"
#include "kernels/rms_norm/rms_norm_variants.h"

namespace facet {
namespace {

constexpr RmsNormVariant kBestFirst[] = {
    {"avx512", Isa::kAvx512, &RmsNormAvx512},
    {"avx2", Isa::kAvx2, &RmsNormAvx2},
    {"reference", Isa::kReference, &RmsNormReference},
};

// Elements a thread takes at least: a few microseconds of work.
constexpr int64_t kGrain = 16384;

}  // namespace

absl::Span<const RmsNormVariant> RmsNormVariants() {
  return RunnableVariants(kBestFirst);
}

const RmsNormVariant& ActiveRmsNorm() { return ActiveVariant(kBestFirst); }

void RmsNorm(const RmsNormArgs& args, ThreadPool& pool) {
  RmsNormChain(absl::MakeConstSpan(&args, 1), pool);
}

void RmsNormChain(absl::Span<const RmsNormArgs> chain, ThreadPool& pool) {
  if (chain.empty()) return;
  const RmsNormVariant& variant = ActiveRmsNorm();
  int64_t row = 0;  // elements of one row in all norms
  for (const RmsNormArgs& args : chain) {
    FACET_DCHECK(args.rows == chain.front().rows);
    row += args.width;
  }
  const int64_t grain =
      std::max<int64_t>(1, kGrain / std::max<int64_t>(row, 1));
  pool.ParallelFor(chain.front().rows, grain, [&](int64_t begin, int64_t end) {
    // Row by row, so that a row stays in the cache from norm to norm.
    for (int64_t r = begin; r < end; ++r) {
      for (const RmsNormArgs& args : chain) variant.run(args, r, r + 1);
    }
  });
}

}  // namespace facet
