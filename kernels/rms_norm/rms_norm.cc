#include "kernels/rms_norm/rms_norm.h"

#include <algorithm>

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

void RmsNorm(const RmsNormArgs& args, ThreadPool& pool) {
  const RmsNormVariant& variant = ActiveVariant(kBestFirst);
  const int64_t grain =
      std::max<int64_t>(1, kGrain / std::max<int64_t>(args.width, 1));
  pool.ParallelFor(args.rows, grain, [&](int64_t begin, int64_t end) {
    variant.run(args, begin, end);
  });
}

}  // namespace facet
