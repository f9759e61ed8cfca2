// y[t, i] = table[rows[t], column + i] * scale: rows of a table are gathered
// one by one, so only those are read.
#ifndef FACET_KERNELS_EMBEDDING_EMBEDDING_H_
#define FACET_KERNELS_EMBEDDING_EMBEDDING_H_

#include <cstdint>

#include "absl/types/span.h"
#include "kernels/base/cpu.h"
#include "kernels/base/dtype.h"
#include "kernels/base/thread_pool.h"

namespace facet {

struct EmbeddingArgs {
  absl::Span<const int32_t> rows;  // [tokens]
  const void* table = nullptr;     // bf16 or f32, any alignment
  DType dtype = DType::kBF16;
  int64_t table_stride = 0;  // elements
  int64_t column = 0;
  int64_t width = 0;
  float scale = 1.0f;
  float* y = nullptr;  // [tokens, width]
  int64_t y_stride = 0;
};

void Embedding(const EmbeddingArgs& args, ThreadPool& pool);

struct EmbeddingVariant {
  const char* name;
  Isa isa;
  void (*run)(const EmbeddingArgs& args, int64_t begin, int64_t end);
};
absl::Span<const EmbeddingVariant> EmbeddingVariants();

}  // namespace facet

#endif  // FACET_KERNELS_EMBEDDING_EMBEDDING_H_
