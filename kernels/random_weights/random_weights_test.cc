#include "kernels/random_weights/random_weights.h"

#include <cmath>
#include <vector>

#include "gtest/gtest.h"

namespace facet {
namespace {

std::vector<uint16_t> BitsOf(const RandomTensor& tensor,
                             const RandomSlice& slice) {
  std::vector<BF16> drawn(slice.rows * slice.cols);
  DrawOnHost(tensor, slice, drawn.data());
  std::vector<uint16_t> bits;
  for (const BF16 value : drawn) bits.push_back(value.bits);
  return bits;
}

TEST(RandomWeightsTest, ASliceHoldsTheElementsOfTheWhole) {
  const RandomTensor tensor = {9, 3, 0.25f};
  constexpr int64_t kRows = 7, kCols = 29;
  const std::vector<uint16_t> whole = BitsOf(tensor, {0, kRows, kCols, kCols});
  for (int64_t row = 0; row < kRows; ++row) {
    for (int64_t begin = 0; begin < kCols; begin += 3) {
      for (int64_t cols = 1; begin + cols <= kCols; cols += 5) {
        const RandomSlice slice = {row * kCols + begin, kRows - row, cols,
                                   kCols};
        const std::vector<uint16_t> part = BitsOf(tensor, slice);
        for (size_t i = 0; i < part.size(); ++i) {
          const int64_t r = static_cast<int64_t>(i) / cols;
          const int64_t c = static_cast<int64_t>(i) % cols;
          ASSERT_EQ(part[i], whole[(row + r) * kCols + begin + c]);
        }
      }
    }
  }
}

TEST(RandomWeightsTest, ValuesAreUniformInsideTheBound) {
  constexpr int64_t kCount = 1 << 16;
  std::vector<BF16> drawn(kCount);
  DrawOnHost({1, 2, 0.5f}, {0, 1, kCount, kCount}, drawn.data());
  double sum = 0, squares = 0;
  for (const BF16 value : drawn) {
    ASSERT_LE(std::fabs(ToFloat(value)), 0.5f);
    sum += ToFloat(value);
    squares += ToFloat(value) * ToFloat(value);
  }
  // Six standard deviations of the mean of so many.
  EXPECT_NEAR(sum / kCount, 0, 6 * 0.5 / std::sqrt(3.0 * kCount));
  EXPECT_NEAR(squares / kCount, 0.25 / 3, 0.002);
}

TEST(RandomWeightsTest, TensorsAndSeedsDiffer) {
  const RandomSlice slice = {0, 1, 64, 64};
  const auto first = BitsOf({1, 1, 1}, slice);
  EXPECT_NE(BitsOf({1, 2, 1}, slice), first);
  EXPECT_NE(BitsOf({2, 1, 1}, slice), first);
  EXPECT_NE(BitsOf({uint64_t{1} << 32 | 1, 1, 1}, slice), first);
  EXPECT_NE(BitsOf({1, 1, 1}, {int64_t{8} << 32, 1, 64, 64}), first);
}

TEST(RandomWeightsTest, WithoutABoundEveryElementIsOne) {
  for (const uint16_t bits : BitsOf({1, 1, 0}, {3, 2, 5, 9})) {
    EXPECT_EQ(ToFloat(BF16{bits}), 1.0f);
  }
}

}  // namespace
}  // namespace facet
