#include "kernels/sampling/top_logits_cuda_plan.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <utility>
#include <vector>

#include "gtest/gtest.h"

namespace facet {
namespace {

TEST(TopLogitsCudaPlanTest, KeysSortAsCandidatesDo) {
  const float infinity = std::numeric_limits<float>::infinity();
  const std::vector<std::pair<float, int32_t>> best_first = {
      {infinity, 9}, {2.5f, 0},  {2.5f, 3},       {1e-40f, 1},
      {0.0f, 4},     {-0.0f, 5}, {-3.0f, 262143}, {-infinity, 2}};
  for (size_t i = 0; i < best_first.size(); ++i) {
    const TopKey key = TopKeyOf(best_first[i].first, best_first[i].second);
    EXPECT_EQ(TokenLogitOf(key).token, best_first[i].second);
    EXPECT_EQ(TokenLogitOf(key).logit, best_first[i].first);
    EXPECT_LT(key, TopKeyOf(std::nanf(""), 0));
    if (i + 1 == best_first.size()) break;
    EXPECT_LT(key, TopKeyOf(best_first[i + 1].first, best_first[i + 1].second))
        << i;
  }
  EXPECT_EQ(TokenLogitOf(kNoKey).token, -1);
}

TEST(TopLogitsCudaPlanTest, TheStepsOfATileSortIt) {
  std::mt19937_64 random(3);
  std::vector<TopKey> keys(kTopTile);
  for (TopKey& key : keys) key = random() % 1000;
  std::vector<TopKey> sorted = keys;
  std::sort(sorted.begin(), sorted.end());
  for (int run = 2; run <= kTopTile; run *= 2) {
    for (int stride = run / 2; stride > 0; stride /= 2) {
      std::vector<int> touched(kTopTile);
      for (int p = 0; p < kTopTile / 2; ++p) {
        const SortPair pair = SortPairAt(p, run, stride);
        ++touched[pair.low];
        ++touched[pair.high];
        if ((keys[pair.low] > keys[pair.high]) == pair.rising) {
          std::swap(keys[pair.low], keys[pair.high]);
        }
      }
      ASSERT_EQ(std::count(touched.begin(), touched.end(), 1), kTopTile)
          << "no two pairs of a step share a key";
    }
  }
  EXPECT_EQ(keys, sorted);
}

TEST(TopLogitsCudaPlanTest, EveryRoundLeavesFewerKeys) {
  for (const int64_t width : {1, 2048, 2049, 32768, 262144}) {
    int64_t keys = width;
    int rounds = 0;
    while (true) {
      const int64_t left = TopBlocks(keys) * kMostDeviceTop;
      EXPECT_LE(left, TopScratchKeys(1, width));
      ++rounds;
      if (TopBlocks(keys) == 1) break;
      EXPECT_LT(left, keys + kTopTile);
      keys = left;
    }
    EXPECT_LE(rounds, 4) << width;
  }
}

}  // namespace
}  // namespace facet
