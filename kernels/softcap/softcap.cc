#include "kernels/softcap/softcap.h"

#include "kernels/base/variants.h"
#include "kernels/softcap/softcap_variants.h"

namespace facet {
namespace {

constexpr SoftcapVariant kBestFirst[] = {
    {"avx512", Isa::kAvx512, &SoftcapAvx512},
    {"avx2", Isa::kAvx2, &SoftcapAvx2},
    {"reference", Isa::kReference, &SoftcapReference},
};

// Elements a thread takes at least: a few microseconds of work.
constexpr int64_t kGrain = 4096;

}  // namespace

absl::Span<const SoftcapVariant> SoftcapVariants() {
  return RunnableVariants(kBestFirst);
}

void SoftcapInPlace(absl::Span<float> x, float cap, ThreadPool& pool) {
  const SoftcapVariant& variant = ActiveVariant(kBestFirst);
  pool.ParallelFor(static_cast<int64_t>(x.size()), kGrain,
                   [&](int64_t begin, int64_t end) {
                     variant.run(x.data() + begin, end - begin, cap);
                   });
}

}  // namespace facet
