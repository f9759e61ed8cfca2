#include "kernels/matmul/big_products_cuda_plan.h"

#include <set>
#include <tuple>
#include <utility>

#include "gtest/gtest.h"

namespace facet {
namespace {

TEST(BigPositionOf, EveryTileBelongsToOneBlock) {
  for (int64_t tiles_w = 1; tiles_w <= 40; tiles_w += 3) {
    for (int64_t tiles_x = 1; tiles_x <= 50; ++tiles_x) {
      std::set<std::pair<int64_t, int64_t>> found;
      for (int64_t block = 0; block < tiles_w * tiles_x; ++block) {
        const BigPosition at = BigPositionOf(block, tiles_w, tiles_x);
        ASSERT_GE(at.w, 0);
        ASSERT_LT(at.w, tiles_w);
        ASSERT_GE(at.x, 0);
        ASSERT_LT(at.x, tiles_x);
        ASSERT_TRUE(found.insert({at.w, at.x}).second);
      }
    }
  }
}

// Blocks of one wave read few rows: of 132 blocks with 31B's gates, what the
// second-level cache holds of a chunk.
TEST(BigPositionOf, NeighboursShareTheirRows) {
  const int64_t tiles_w = 168, tiles_x = 32;
  for (int64_t first = 0; first + 132 <= tiles_w * tiles_x; first += 132) {
    std::set<int64_t> w, x;
    for (int64_t block = first; block < first + 132; ++block) {
      const BigPosition at = BigPositionOf(block, tiles_w, tiles_x);
      w.insert(at.w);
      x.insert(at.x);
    }
    EXPECT_LE(w.size() * 256 + x.size() * kBigTileX, 8192u) << first;
  }
}

class BigShapeTest : public testing::Test {
 protected:
  static MatmulArgs Product(int64_t m, int64_t n, int64_t k, int segments) {
    MatmulArgs args;
    args.m = m;
    args.n = args.y_stride = n;
    args.k = args.w_stride = k;
    args.segments = segments;
    args.bf16_inputs = true;
    return args;
  }
  ProductScratch scratch_ = [] {
    static float one;
    ProductScratch scratch;
    scratch.sums = &one;
    scratch.rounded_bytes = RoundedBytes(8192, 21504);
    scratch.shared_bytes = 227 * 1024;
    return scratch;
  }();
};

// q, k, v, attention output, gates, down of every published shape.
TEST_F(BigShapeTest, ProductsOfPromptsTakeLargeTiles) {
  for (const auto& [n, k, segments] :
       {std::tuple<int64_t, int64_t, int>{8192, 5376, 1},
        {4096, 5376, 1},
        {5376, 8192, 8},
        {21504, 5376, 1},
        {5376, 21504, 8},
        {4096, 2816, 1},
        {2816, 4096, 8},
        {2112, 2816, 1},
        {10240, 2560, 1},
        {2560, 10240, 8}}) {
    for (const bool any_order : {false, true}) {
      const MatmulArgs args = Product(4096, n, k, segments);
      const BigShape shape = BigShapeOf(args, any_order, scratch_);
      EXPECT_GT(shape.warps_w, 0) << n << ", " << k;
      EXPECT_EQ(shape.segments, any_order ? 1 : segments);
      EXPECT_LE(shape.segments == 1 ? 0 : 4 * shape.segments * shape.rows * n,
                kSumsBytes);
      EXPECT_TRUE(shape.rows == args.m || shape.rows % kBigTileX == 0);
    }
  }
}

// 26B-A4B's dense block: an eighth of its width is no whole number of steps.
TEST_F(BigShapeTest, SegmentsOfHalfAStepTakeThemInOneSumAlone) {
  const MatmulArgs args = Product(4096, 2816, 2112, 8);
  EXPECT_EQ(BigShapeOf(args, false, scratch_).warps_w, 0);
  EXPECT_GT(BigShapeOf(args, true, scratch_).warps_w, 0);
}

TEST_F(BigShapeTest, CardsWithLessSharedMemoryTakeSmallerTiles) {
  const MatmulArgs args = Product(4096, 8192, 5376, 1);
  EXPECT_EQ(BigShapeOf(args, false, scratch_).warps_w, 4);
  ProductScratch smaller = scratch_;
  smaller.shared_bytes = 163 * 1024;
  EXPECT_EQ(BigShapeOf(args, false, smaller).warps_w, 2);
  smaller.shared_bytes = 99 * 1024;
  EXPECT_EQ(BigShapeOf(args, false, smaller).warps_w, 2);
  smaller.shared_bytes = 64 * 1024;
  EXPECT_EQ(BigShapeOf(args, false, smaller).warps_w, 0);
}

TEST_F(BigShapeTest, OthersTakeNone) {
  const MatmulArgs args = Product(4096, 8192, 5376, 1);
  const auto none = [&](const MatmulArgs& other, const char* what) {
    EXPECT_EQ(BigShapeOf(other, false, scratch_).warps_w, 0) << what;
  };
  MatmulArgs other = args;
  other.m = kManyRows - 1;
  none(other, "few rows");
  other = args;
  other.bf16_inputs = false;
  none(other, "f32 inputs");
  other = args;
  other.m = 100'000;
  none(other, "more than the buffer of rounded inputs");
  none(Product(128, 1024, 5376, 1), "fewer blocks than a card runs at once");
  none(Product(4096, 21505, 5376, 1), "odd columns");
  none(Product(4096, 8192, 5376 + 8, 8), "segments of no whole steps");
  EXPECT_EQ(BigShapeOf(args, false, ProductScratch()).warps_w, 0)
      << "a mode that rounds nothing";
}

}  // namespace
}  // namespace facet
