#include "kernels/experts/experts_cuda_plan.h"

#include <optional>
#include <random>
#include <vector>

#include "gtest/gtest.h"

namespace facet {
namespace {

// The contract's tree, level by level.
float TreeOf(std::vector<std::optional<float>> sums) {
  const size_t count = sums.size();
  for (size_t step = 1; step < count; step *= 2) {
    for (size_t a = 0; a + step < count; a += 2 * step) {
      if (!sums[a + step].has_value()) continue;
      sums[a] =
          sums[a].has_value() ? *sums[a] + *sums[a + step] : *sums[a + step];
    }
  }
  return sums[0].value_or(0.0f);
}

TEST(ShardTree, AddsAnyShardsInTheContractsOrder) {
  std::mt19937 random(7);
  std::uniform_real_distribution<float> value(-1, 1);
  for (int round = 0; round < 20000; ++round) {
    std::vector<std::optional<float>> sums(1 + random() % 33);
    ShardTree tree;
    for (size_t s = 0; s < sums.size(); ++s) {
      if (random() % 3 == 0) continue;
      sums[s] = value(random);
      tree.Add(static_cast<int32_t>(s), *sums[s]);
    }
    ASSERT_EQ(tree.Total(), TreeOf(sums)) << round;
  }
}

TEST(PlaceExpertPairs, ArraysDoNotOverlap) {
  const ExpertPairs none = PlaceExpertPairs(nullptr, 3, 2, 5, 48, 24);
  std::vector<unsigned char> memory(none.bytes);
  const ExpertPairs pairs = PlaceExpertPairs(memory.data(), 3, 2, 5, 48, 24);
  const auto at = [&](const void* p) {
    return static_cast<const unsigned char*>(p) - memory.data();
  };
  EXPECT_LE(at(pairs.active + 6), at(pairs.begin));
  EXPECT_LE(at(pairs.begin + 6), at(pairs.rows));
  EXPECT_LE(at(pairs.rows + 6), at(pairs.weights));
  EXPECT_LE(at(pairs.weights + 6), at(pairs.pair_of));
  EXPECT_LE(at(pairs.pair_of + 6), at(pairs.counts));
  EXPECT_LE(at(pairs.counts + 5), at(pairs.activated));
  EXPECT_LE(at(pairs.activated + 6 * 24), at(pairs.output));
  EXPECT_LE(at(pairs.output + 6 * 48), static_cast<long>(pairs.bytes));
  EXPECT_EQ(pairs.tiles, nullptr);

  // Experts on tensor cores have a little more, behind all of that.
  const ExpertPairs more = PlaceExpertPairs(memory.data(), 3, 2, 5, 48, 24, 16);
  EXPECT_EQ(more.output, pairs.output);
  EXPECT_LE(at(more.output + 6 * 48), at(more.num_tiles));
  EXPECT_LE(at(more.num_tiles + 1), at(more.tiles));
  EXPECT_LE(at(more.tiles + MostExpertTiles(6, 5, 16)), at(more.rounded));
  EXPECT_LE(at(more.rounded + 3 * 48), static_cast<long>(more.bytes));
}

// Every pair in one tile, of its own expert, whatever is chosen how often.
TEST(ExpertTiles, CoverEveryPairOnceAndFitTheirTable) {
  std::mt19937 random(3);
  for (int round = 0; round < 3000; ++round) {
    const int rows = round % 3 == 0 ? 16 : 128;
    const int32_t experts = 1 + static_cast<int32_t>(random() % 130);
    std::vector<int32_t> begin = {0};
    for (int32_t e = 0; e < experts; ++e) {
      // None, a few, or a row more or less than whole tiles.
      const int kind = static_cast<int>(random() % 4);
      const int32_t count =
          kind == 0   ? 0
          : kind == 1 ? static_cast<int32_t>(random() % 5)
          : kind == 2 ? static_cast<int32_t>(random() % 700)
                      : rows * static_cast<int32_t>(1 + random() % 3) +
                            static_cast<int32_t>(random() % 3) - 1;
      begin.push_back(begin.back() + count);
    }
    std::vector<int> times(begin.back());
    int64_t tiles = 0;
    for (int32_t e = 0; e < experts; ++e) {
      const int32_t own = TilesOfExpert(begin[e + 1] - begin[e], rows);
      tiles += own;
      for (int32_t i = 0; i < own; ++i) {
        const ExpertTile tile =
            ExpertTileAt(e, begin[e], begin[e + 1], i, rows);
        ASSERT_EQ(tile.expert, e);
        ASSERT_GT(tile.count, 0);
        ASSERT_LE(tile.count, rows);
        ASSERT_GE(tile.first, begin[e]);
        ASSERT_LE(tile.first + tile.count, begin[e + 1]);
        for (int32_t p = 0; p < tile.count; ++p) ++times[tile.first + p];
      }
    }
    for (const int count : times) ASSERT_EQ(count, 1);
    ASSERT_LE(tiles, MostExpertTiles(begin.back(), experts, rows));
  }
}

}  // namespace
}  // namespace facet
