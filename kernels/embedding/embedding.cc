#include "kernels/embedding/embedding.h"

#include <algorithm>

#include "kernels/base/variants.h"
#include "kernels/embedding/embedding_variants.h"

namespace facet {
namespace {

constexpr EmbeddingVariant kBestFirst[] = {
    {"avx512", Isa::kAvx512, &EmbeddingAvx512},
    {"avx2", Isa::kAvx2, &EmbeddingAvx2},
    {"reference", Isa::kReference, &EmbeddingReference},
};

// Elements a thread takes at least: a few microseconds of work.
constexpr int64_t kGrain = 16384;

}  // namespace

absl::Span<const EmbeddingVariant> EmbeddingVariants() {
  return RunnableVariants(kBestFirst);
}

void Embedding(const EmbeddingArgs& args, ThreadPool& pool) {
  const EmbeddingVariant& variant = ActiveVariant(kBestFirst);
  const int64_t grain =
      std::max<int64_t>(1, kGrain / std::max<int64_t>(args.width, 1));
  pool.ParallelFor(
      static_cast<int64_t>(args.rows.size()), grain,
      [&](int64_t begin, int64_t end) { variant.run(args, begin, end); });
}

}  // namespace facet
