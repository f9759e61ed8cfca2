// The loops of the AVX2 and AVX-512 variants.
#ifndef FACET_KERNELS_EMBEDDING_EMBEDDING_SIMD_H_
#define FACET_KERNELS_EMBEDDING_EMBEDDING_SIMD_H_

#include "kernels/base/simd_loop.h"
#include "kernels/embedding/embedding_variants.h"

namespace facet {
namespace FACET_SIMD {

template <typename T>
FACET_INLINE void GatherRowsOf(const EmbeddingArgs& args, int64_t begin,
                               int64_t end) {
  const F32x16 scale = Set(args.scale);
  for (int64_t t = begin; t < end; ++t) {
    const T* row = static_cast<const T*>(args.table) +
                   args.rows.data()[t] * args.table_stride + args.column;
    float* y = args.y + t * args.y_stride;
    ForEach16(args.width, [&](int64_t i, int n) FACET_INLINE_LAMBDA {
      StoreN(LoadN(row + i, n) * scale, y + i, n);
    });
  }
}

inline void GatherRows(const EmbeddingArgs& args, int64_t begin, int64_t end) {
  if (args.dtype == DType::kBF16) {
    GatherRowsOf<BF16>(args, begin, end);
  } else {
    GatherRowsOf<float>(args, begin, end);
  }
}

}  // namespace FACET_SIMD
}  // namespace facet

#endif  // FACET_KERNELS_EMBEDDING_EMBEDDING_SIMD_H_
