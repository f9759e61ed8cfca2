// Who does what in a product on a device; arithmetic alone, for both sides.
#ifndef FACET_KERNELS_MATMUL_MATMUL_CUDA_PLAN_H_
#define FACET_KERNELS_MATMUL_MATMUL_CUDA_PLAN_H_

#include <cstdint>

#include "kernels/base/dtype.h"
#include "kernels/base/host_device.h"
#include "kernels/matmul/matmul.h"

namespace facet {

inline constexpr int kMatmulThreads = 128;
inline constexpr int kMostSegments = 32;
// Rows of w in a tile of the loop for any shape: half a warp each.
inline constexpr int kAnyRows = kMatmulThreads / 16;

// The streaming loop: a block takes 64 strips, each one segment of one row of w
// or of `up`, in chunks of 64 elements, four stages of them in shared memory.
inline constexpr int kStrips = 64;
inline constexpr int kChunk = 64;
inline constexpr int kStages = 4;
inline constexpr int kElementsPerPiece = 8;  // 16 bytes
inline constexpr int kPiecesPerChunk = kChunk / kElementsPerPiece;
inline constexpr int kCopiesPerThread =
    kStrips * kPiecesPerChunk / kMatmulThreads;
// 32 bytes of padding: the eight threads that read together, two halves of four
// strips, then meet all 32 banks.
inline constexpr int kStripBytes = 2 * kChunk + 32;
inline constexpr int kStageBytes = kStrips * kStripBytes;
inline constexpr int kStreamSharedBytes = kStages * kStageBytes;
static_assert(kStreamSharedBytes <= 48 * 1024);
static_assert(kCopiesPerThread * kMatmulThreads == kStrips * kPiecesPerChunk);
// Sums of up to eight rows of x reuse the stages.
static_assert(kStrips * 8 * 4 <= kStreamSharedBytes);

// From here on a product is bound by arithmetic: reading a bf16 weight takes
// as long as 2 * 180 to 2 * 260 operations on it, that is 180 to 260 rows, and
// Facet's own tiles reach about half of what tensor cores do. Below, a product
// waits for its weights, which the own loops stream as fast, and whose bits
// stay those of every other batch.
inline constexpr int64_t kManyRows = 128;

struct StreamShape {
  int rows = 0;      // of w in one tile
  int segments = 1;  // strips of one row of one matrix
  int64_t part = 0;  // elements of a strip
};

struct Strip {
  int row = 0;  // of the tile
  int segment = 0;
  bool up = false;  // else of w
};

FACET_HOST_DEVICE inline StreamShape StreamShapeOf(const MatmulArgs& args) {
  const int matrices = args.up != nullptr ? 2 : 1;
  return {kStrips / (args.segments * matrices), args.segments,
          args.k / args.segments};
}

// Strips of one matrix and segment are neighbours, so that the threads of a
// warp ask for the same values of x.
FACET_HOST_DEVICE inline Strip StripAt(const StreamShape& shape, int strip) {
  const int group = strip / shape.rows;
  return {strip % shape.rows, group % shape.segments,
          group / shape.segments > 0};
}

// Rounds of 16 lanes, of `left` elements of a strip, in which the lower (0) or
// the upper (1) eight lanes have a term. REQUIRES: left % 8 == 0.
FACET_HOST_DEVICE constexpr int StepsOfHalf(int left, int half) {
  return (left + 8 - 8 * half) / 16;
}

// Whether the streaming loop takes `args`: bf16 weights whose strips are whole
// halves of a round of 16 lanes (an eighth of 26B-A4B's dense block ends in
// one), everything where 16-byte loads reach it.
FACET_HOST_DEVICE inline bool CanStream(const MatmulArgs& args) {
  const auto aligned = [](const void* p) {
    return reinterpret_cast<uintptr_t>(p) % 16 == 0;
  };
  return args.w_dtype == DType::kBF16 && args.m > 0 &&
         args.k / args.segments % 8 == 0 && args.w_stride % 8 == 0 &&
         args.x_stride % 4 == 0 && aligned(args.w) && aligned(args.up) &&
         aligned(args.x);
}

FACET_HOST_DEVICE inline int64_t TilesOf(const MatmulArgs& args) {
  const int64_t rows =
      CanStream(args) ? StreamShapeOf(args).rows : int64_t{kAnyRows};
  return (args.n + rows - 1) / rows;
}

}  // namespace facet

#endif  // FACET_KERNELS_MATMUL_MATMUL_CUDA_PLAN_H_
