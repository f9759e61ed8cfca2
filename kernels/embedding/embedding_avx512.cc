#include "kernels/embedding/embedding_simd.h"

namespace facet {

void EmbeddingAvx512(const EmbeddingArgs& args, int64_t begin, int64_t end) {
  FACET_SIMD::GatherRows(args, begin, end);
}

}  // namespace facet
