#include "kernels/router/router.h"

#include <algorithm>

#include "kernels/base/check.h"
#include "kernels/base/variants.h"
#include "kernels/router/router_variants.h"

namespace facet {
namespace {

constexpr RouterVariant kBestFirst[] = {
    {"avx512", Isa::kAvx512, &RouterAvx512},
    {"avx2", Isa::kAvx2, &RouterAvx2},
    {"reference", Isa::kReference, &RouterReference},
};

// Logits a thread takes at least: a few microseconds of work.
constexpr int64_t kGrain = 2048;

}  // namespace

absl::Span<const RouterVariant> RouterVariants() {
  return RunnableVariants(kBestFirst);
}

void Router(const RouterArgs& args, ThreadPool& pool) {
  FACET_DCHECK(args.experts_per_token >= 1 &&
               args.experts_per_token <= args.experts);
  const RouterVariant& variant = ActiveVariant(kBestFirst);
  const int64_t grain = std::max<int64_t>(1, kGrain / args.experts);
  pool.ParallelFor(args.tokens, grain, [&](int64_t begin, int64_t end) {
    variant.run(args, begin, end);
  });
}

}  // namespace facet
