#include "kernels/matmul/matmul_cuda_plan.h"

#include <set>
#include <tuple>
#include <vector>

#include "gtest/gtest.h"
#include "kernels/matmul/matmul_tensor_cuda_plan.h"

namespace facet {
namespace {

MatmulArgs Product(int64_t n, int64_t k, int segments, bool gated) {
  alignas(16) static uint16_t weights[16];
  alignas(16) static float x[16];
  MatmulArgs args;
  args.m = 1;
  args.n = n;
  args.k = k;
  args.x = x;
  args.x_stride = k;
  args.w = weights;
  args.w_stride = k;
  args.up = gated ? weights : nullptr;
  args.segments = segments;
  return args;
}

TEST(StreamShape, EveryStripOfEveryRowIsTakenOnce) {
  for (const bool gated : {false, true}) {
    for (int segments = 1; segments <= kMostSegments; segments *= 2) {
      const MatmulArgs args = Product(1000, 5376 * 8, segments, gated);
      const StreamShape shape = StreamShapeOf(args);
      std::set<std::tuple<int, int, bool>> seen;
      for (int s = 0; s < kStrips; ++s) {
        const Strip strip = StripAt(shape, s);
        EXPECT_LT(strip.row, shape.rows);
        EXPECT_LT(strip.segment, segments);
        EXPECT_TRUE(gated || !strip.up);
        seen.insert({strip.row, strip.segment, strip.up});
      }
      EXPECT_EQ(seen.size(), size_t{kStrips});
    }
  }
}

TEST(StreamShape, TilesCoverAllRows) {
  for (const int64_t n : {1, 7, 63, 64, 65, 5376, 262144}) {
    const MatmulArgs args = Product(n, 512, 4, false);
    ASSERT_TRUE(CanStream(args));
    const int64_t rows = TilesOf(args) * StreamShapeOf(args).rows;
    EXPECT_GE(rows, n);
    EXPECT_LT(rows - StreamShapeOf(args).rows, n);
  }
}

// The eight threads that a 16-byte read of shared memory serves together.
TEST(StreamShape, ThreadsThatReadTogetherMeetAllBanksOnce) {
  for (int first = 0; first < kMatmulThreads; first += 8) {
    std::set<int> banks;
    for (int t = first; t < first + 8; ++t) {
      const int address = t / 2 * kStripBytes + t % 2 * 16;
      for (int word = 0; word < 4; ++word) {
        banks.insert((address / 4 + word) % 32);
      }
    }
    EXPECT_EQ(banks.size(), 32u) << first;
  }
}

TEST(StreamShape, ThreadsCopyEveryPieceOfAStageOnceAndInside) {
  std::set<int> pieces;
  for (int thread = 0; thread < kMatmulThreads; ++thread) {
    for (int c = 0; c < kCopiesPerThread; ++c) {
      const int piece = c * kMatmulThreads + thread;
      const int at =
          piece / kPiecesPerChunk * kStripBytes + piece % kPiecesPerChunk * 16;
      EXPECT_LE(at + 16, kStageBytes);
      pieces.insert(at);
    }
  }
  EXPECT_EQ(pieces.size(), size_t{kStrips} * kPiecesPerChunk);
}

TEST(TensorShape, WarpsStayInOneSegmentOfOneMatrix) {
  for (const bool gated : {false, true}) {
    for (int segments = 1; segments <= 8; segments *= 2) {
      MatmulArgs args = Product(1000, 512 * segments, segments, gated);
      args.bf16_inputs = true;
      if (!CanUseTensorCores(args)) continue;
      const StreamShape shape = TensorShapeOf(args);
      for (int first = 0; first < TensorStrips(args); first += 16) {
        const Strip a = StripAt(shape, first);
        EXPECT_EQ(a.row % 16, 0);
        for (int s = first; s < first + 16; ++s) {
          const Strip strip = StripAt(shape, s);
          EXPECT_EQ(strip.segment, a.segment);
          EXPECT_EQ(strip.up, a.up);
          EXPECT_LT(strip.segment, segments);
        }
      }
      for (const int64_t m : {1, 8, 9, 33, 4096}) {
        args.m = m;
        EXPECT_LE(TensorSharedBytes(args, TensorRows(args)), 227 * 1024);
        EXPECT_LE(TensorThreads(args), 256);
        // Sums reuse the stages.
        EXPECT_LE(TensorStrips(args) * TensorRows(args) * 4,
                  kStages * TensorStrips(args) * kTensorRowBytes);
      }
    }
  }
}

TEST(TensorShape, AWarpsFragmentMeetsAllBanksOnce) {
  std::set<int> banks;
  for (int lane = 0; lane < 32; ++lane) {
    banks.insert((lane / 4 * kTensorRowBytes + lane % 4 * 4) / 4 % 32);
  }
  EXPECT_EQ(banks.size(), 32u);
}

// Lane l has the terms k % 16 == l: with an odd half behind the last whole
// round, the upper lanes have one less.
TEST(StepsOfHalf, AreTheRoundsInWhichItsLanesHaveATerm) {
  for (int left = 0; left <= kChunk; left += 8) {
    for (const int half : {0, 1}) {
      int rounds = 0;
      for (int k = 8 * half; k < left; k += 16) ++rounds;
      EXPECT_EQ(StepsOfHalf(left, half), rounds) << left << ", " << half;
    }
  }
}

TEST(CanStream, RefusesWhatItsLoadsDoNotReach) {
  EXPECT_TRUE(CanStream(Product(64, 1024, 8, true)));
  EXPECT_TRUE(CanStream(Product(64, 8 * 24, 8, false)));   // half a round more
  EXPECT_FALSE(CanStream(Product(64, 8 * 20, 8, false)));  // 20 % 8
  MatmulArgs f32 = Product(64, 1024, 1, false);
  f32.w_dtype = DType::kF32;
  EXPECT_FALSE(CanStream(f32));
  MatmulArgs odd = Product(64, 1024, 1, false);
  odd.w = static_cast<const uint8_t*>(odd.w) + 2;
  EXPECT_FALSE(CanStream(odd));
}

}  // namespace
}  // namespace facet
