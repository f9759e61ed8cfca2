// Weights of the next product that a kernel asks into the second-level cache
// while it leaves most of the card idle: which thread asks for which bytes.
// Arithmetic alone, for both sides.
#ifndef FACET_KERNELS_CUDA_WEIGHTS_AHEAD_H_
#define FACET_KERNELS_CUDA_WEIGHTS_AHEAD_H_

#include <algorithm>
#include <cstdint>

#include "absl/types/span.h"
#include "kernels/base/host_device.h"
#include "kernels/matmul/matmul.h"

namespace facet {

// What a thread asks for, a multiple of a cache line.
inline constexpr int64_t kAheadPiece = 2048;
// About what memory brings while norms of one row last, 4 us at 4 TB/s, and a
// third of the smaller cache of Hopper's cards.
inline constexpr int64_t kMostAheadBytes = int64_t{16} << 20;
inline constexpr int kMostAheadParts = 6;

struct WeightsAhead {
  struct Part {
    const unsigned char* from = nullptr;
    int64_t pieces = 0;
    int64_t bytes = 0;
  };
  int parts = 0;
  int64_t pieces = 0;  // of all parts
  Part part[kMostAheadParts];
};

// The first rows of each product's weights, as far as kMostAheadBytes go, every
// product getting as large a share of its weights.
inline WeightsAhead PlanWeightsAhead(absl::Span<const MatmulArgs> products) {
  struct Matrix {
    const void* data;
    int64_t bytes;
  };
  Matrix matrices[kMostAheadParts];
  int count = 0;
  int64_t total = 0;
  for (const MatmulArgs& args : products) {
    const int64_t bytes =
        args.n * args.w_stride * (args.w_dtype == DType::kBF16 ? 2 : 4);
    for (const void* data : {args.w, args.up}) {
      if (data == nullptr || bytes == 0 || count == kMostAheadParts) continue;
      matrices[count++] = {data, bytes};
      total += bytes;
    }
  }
  WeightsAhead ahead;
  for (int i = 0; i < count; ++i) {
    WeightsAhead::Part& part = ahead.part[ahead.parts++];
    part.from = static_cast<const unsigned char*>(matrices[i].data);
    part.bytes = matrices[i].bytes;
    if (total > kMostAheadBytes) {
      part.bytes = static_cast<int64_t>(static_cast<double>(part.bytes) *
                                        kMostAheadBytes / total);
    }
    part.pieces = (part.bytes + kAheadPiece - 1) / kAheadPiece;
    ahead.pieces += part.pieces;
  }
  return ahead;
}

struct AheadRange {
  const unsigned char* from = nullptr;
  int64_t bytes = 0;
};

// What thread `index` of ahead.pieces asks for.
FACET_HOST_DEVICE inline AheadRange RangeAhead(const WeightsAhead& ahead,
                                               int64_t index) {
  AheadRange range;
  for (int p = 0; p < ahead.parts; ++p) {
    const WeightsAhead::Part& part = ahead.part[p];
    if (index < part.pieces) {
      const int64_t begin = index * kAheadPiece;
      const int64_t left = part.bytes - begin;
      range.from = part.from + begin;
      range.bytes = left < kAheadPiece ? left : kAheadPiece;
      return range;
    }
    index -= part.pieces;
  }
  return range;
}

}  // namespace facet

#endif  // FACET_KERNELS_CUDA_WEIGHTS_AHEAD_H_
