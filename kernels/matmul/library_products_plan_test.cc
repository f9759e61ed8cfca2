#include "kernels/matmul/library_products_plan.h"

#include <algorithm>

#include "gtest/gtest.h"

namespace facet {
namespace {

TEST(ColumnsTogether, PiecesFitTheirBufferAndAreEven) {
  for (const int64_t rows : {128, 129, 500, 512, 2048, 4096, 8192, 40000}) {
    // Widths of the models' feed-forward blocks on 1 to 8 ranks, and odd ones.
    for (const int64_t columns : {1, 7, 64, 255, 264, 1056, 2112, 2688, 6144,
                                  10240, 10752, 12288, 21504, 21505}) {
      const int64_t together = ColumnsTogether(rows, columns);
      ASSERT_GT(together, 0);
      EXPECT_LE(4 * rows * std::min(together, columns), kUpBytes)
          << rows << ", " << columns;
      const int64_t pieces = (columns + together - 1) / together;
      if (pieces == 1 || together < kColumnTile) continue;
      EXPECT_EQ(together % kColumnTile, 0) << rows << ", " << columns;
      // No piece is smaller than the others by more than tiles round up.
      const int64_t last = columns - (pieces - 1) * together;
      EXPECT_GT(last, 0);
      EXPECT_LE(together - last, pieces * kColumnTile)
          << rows << ", " << columns;
    }
  }
}

TEST(LibraryTakes, ManyRowsOfRoundedInputsAndBf16Weights) {
  MatmulArgs args;
  args.m = kManyRows;
  args.n = args.y_stride = 21504;
  args.k = args.w_stride = 5376;
  args.bf16_inputs = true;
  EXPECT_TRUE(LibraryTakes(args));
  MatmulArgs other = args;
  other.m = kManyRows - 1;
  EXPECT_FALSE(LibraryTakes(other)) << "few rows";
  other = args;
  other.bf16_inputs = false;
  EXPECT_FALSE(LibraryTakes(other)) << "a router's or a head's";
  other = args;
  other.w_dtype = DType::kF32;
  EXPECT_FALSE(LibraryTakes(other)) << "f32 weights";
  other = args;
  other.w_stride = args.k - 1;
  EXPECT_FALSE(LibraryTakes(other)) << "rows that overlap";
  other = args;
  other.n = other.y_stride = int64_t{1} << 31;
  EXPECT_FALSE(LibraryTakes(other)) << "more than an int";
}

}  // namespace
}  // namespace facet
