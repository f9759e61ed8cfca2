#include <cstring>

#include "kernels/embedding/embedding_variants.h"

namespace facet {
namespace {

float At(const EmbeddingArgs& args, int64_t row, int64_t column) {
  const int64_t i = row * args.table_stride + column;
  const auto* table = static_cast<const uint8_t*>(args.table);
  if (args.dtype == DType::kBF16) {
    BF16 value;
    std::memcpy(&value.bits, table + 2 * i, sizeof(value.bits));
    return ToFloat(value);
  }
  float value;
  std::memcpy(&value, table + 4 * i, sizeof(value));
  return value;
}

}  // namespace

void EmbeddingReference(const EmbeddingArgs& args, int64_t begin, int64_t end) {
  for (int64_t t = begin; t < end; ++t) {
    for (int64_t i = 0; i < args.width; ++i) {
      args.y[t * args.y_stride + i] =
          At(args, args.rows[t], args.column + i) * args.scale;
    }
  }
}

}  // namespace facet
