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
  EXPECT_LE(at(pairs.pair_of + 6), at(pairs.activated));
  EXPECT_LE(at(pairs.activated + 6 * 24), at(pairs.output));
  EXPECT_LE(at(pairs.output + 6 * 48), static_cast<long>(pairs.bytes));
}

}  // namespace
}  // namespace facet
