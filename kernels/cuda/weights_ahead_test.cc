#include "kernels/cuda/weights_ahead.h"

#include <vector>

#include "gtest/gtest.h"

namespace facet {
namespace {

MatmulArgs Product(const void* w, int64_t n, int64_t k) {
  MatmulArgs args;
  args.n = n;
  args.k = args.w_stride = k;
  args.w = w;
  return args;
}

// How often each byte from `base` on is asked for.
std::vector<int> Asked(const WeightsAhead& ahead, const unsigned char* base,
                       int64_t size) {
  std::vector<int> times(size);
  for (int64_t i = 0; i < ahead.pieces; ++i) {
    const AheadRange range = RangeAhead(ahead, i);
    EXPECT_GT(range.bytes, 0);
    EXPECT_LE(range.bytes, kAheadPiece);
    for (int64_t b = 0; b < range.bytes; ++b) {
      const int64_t at = range.from - base + b;
      if (at >= 0 && at < size) ++times[at];
    }
  }
  return times;
}

TEST(WeightsAheadTest, EachByteOfSmallWeightsIsAskedForOnce) {
  for (const int64_t n : {1, 3, 64, 1000}) {
    for (const int64_t k : {8, 704, 1536}) {
      const int64_t bytes = n * k * 2;
      std::vector<unsigned char> memory(2 * bytes);
      MatmulArgs args = Product(memory.data(), n, k);
      args.up = memory.data() + bytes;
      const WeightsAhead ahead = PlanWeightsAhead({args});
      EXPECT_EQ(Asked(ahead, memory.data(), 2 * bytes),
                std::vector<int>(2 * bytes, 1))
          << n << " x " << k;
      EXPECT_EQ(RangeAhead(ahead, ahead.pieces).bytes, 0);
    }
  }
}

TEST(WeightsAheadTest, LargeWeightsShareTheBoundByTheirSizes) {
  // Addresses alone matter.
  const auto at = [](int64_t place) {
    return reinterpret_cast<const unsigned char*>(place << 40);
  };
  const MatmulArgs products[] = {Product(at(1), 8192, 5376),
                                 Product(at(2), 4096, 5376),
                                 Product(at(3), 4096, 5376)};
  const WeightsAhead ahead = PlanWeightsAhead(products);
  ASSERT_EQ(ahead.parts, 3);
  int64_t sum = 0;
  for (int p = 0; p < 3; ++p) sum += ahead.part[p].bytes;
  EXPECT_LE(sum, kMostAheadBytes);
  EXPECT_GT(sum, kMostAheadBytes - 3);
  EXPECT_NEAR(ahead.part[0].bytes, 2 * ahead.part[1].bytes, 2);
  EXPECT_EQ(ahead.part[1].bytes, ahead.part[2].bytes);
  for (int p = 0; p < 3; ++p) EXPECT_EQ(ahead.part[p].from, at(p + 1));
}

TEST(WeightsAheadTest, NothingAheadIsNothingToDo) {
  EXPECT_EQ(PlanWeightsAhead({}).pieces, 0);
  EXPECT_EQ(PlanWeightsAhead({Product(nullptr, 0, 0)}).pieces, 0);
}

}  // namespace
}  // namespace facet
