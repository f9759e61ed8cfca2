// The functions behind EmbeddingVariants(); private to this folder.
#ifndef FACET_KERNELS_EMBEDDING_EMBEDDING_VARIANTS_H_
#define FACET_KERNELS_EMBEDDING_EMBEDDING_VARIANTS_H_

#include "kernels/embedding/embedding.h"

namespace facet {

void EmbeddingReference(const EmbeddingArgs& args, int64_t begin, int64_t end);
void EmbeddingAvx2(const EmbeddingArgs& args, int64_t begin, int64_t end);
void EmbeddingAvx512(const EmbeddingArgs& args, int64_t begin, int64_t end);

}  // namespace facet

#endif  // FACET_KERNELS_EMBEDDING_EMBEDDING_VARIANTS_H_
