#include "scheduler/pages/pool_sizes.h"

#include <random>
#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace facet {
namespace {

using testing::HasSubstr;

// Pages of a two-rank world in the proportions of a small model.
PoolBudget SmallModel() {
  PoolBudget budget;
  budget.kv_bytes = int64_t{1} << 30;
  budget.by_rank = {{32 * 12288, 32 * 6144}, {32 * 8192, 32 * 6144}};
  budget.sliding_window = 512;
  budget.max_positions = 131072;
  return budget;
}

PoolBudget RandomBudget(uint32_t seed) {
  std::mt19937 random(seed);
  const auto pick = [&](int64_t low, int64_t high) {
    return std::uniform_int_distribution<int64_t>(low, high)(random);
  };
  PoolBudget budget;
  budget.kv_bytes = int64_t{1} << pick(14, 36);
  budget.page_tokens = static_cast<int>(pick(1, 64));
  budget.sliding_window = static_cast<int>(pick(1, 1024));
  budget.max_positions = pick(1, 200000);
  budget.max_sequences = static_cast<int>(pick(1, 256));
  budget.chunk_tokens = static_cast<int>(pick(1, 1024));
  for (int64_t ranks = pick(1, 4); ranks > 0; --ranks) {
    budget.by_rank.push_back(
        {pick(0, 3) == 0 ? 0 : budget.page_tokens * pick(64, 20000),
         pick(0, 3) == 0 ? 0 : budget.page_tokens * pick(64, 20000)});
  }
  return budget;
}

int64_t DivideUp(int64_t a, int64_t b) { return (a + b - 1) / b; }

TEST(PoolSizesTest, PoolsFitTheBudgetOfEveryRankAndHoldOneChunk) {
  int fitted = 0;
  for (uint32_t seed = 0; seed < 2000; ++seed) {
    SCOPED_TRACE(seed);
    const PoolBudget budget = RandomBudget(seed);
    const absl::StatusOr<KvPoolSizes> pools = ChoosePoolSizes(budget);
    if (!pools.ok()) {
      EXPECT_EQ(pools.status().code(), absl::StatusCode::kResourceExhausted);
      continue;
    }
    ++fitted;
    EXPECT_EQ(pools->page_tokens, budget.page_tokens);
    for (const PageBytes& rank : budget.by_rank) {
      EXPECT_LE(pools->sliding_pages * rank.sliding +
                    pools->global_pages * rank.global,
                budget.kv_bytes);
    }
    const int64_t chunk =
        std::min<int64_t>(budget.chunk_tokens, budget.max_positions);
    EXPECT_GE(pools->global_pages, DivideUp(chunk, budget.page_tokens));
    EXPECT_GE(pools->sliding_pages, DivideUp(chunk, budget.page_tokens));
  }
  EXPECT_GT(fitted, 1000);
}

TEST(PoolSizesTest, NoPoolExceedsWhatAllSequencesCanHold) {
  for (uint32_t seed = 0; seed < 2000; ++seed) {
    SCOPED_TRACE(seed);
    PoolBudget budget = RandomBudget(seed);
    budget.kv_bytes = int64_t{1} << 50;
    const absl::StatusOr<KvPoolSizes> pools = ChoosePoolSizes(budget);
    ASSERT_TRUE(pools.ok()) << pools.status();
    const int64_t chunk =
        std::min<int64_t>(budget.chunk_tokens, budget.max_positions);
    EXPECT_LE(
        pools->sliding_pages,
        budget.max_sequences *
            (DivideUp(budget.sliding_window - 1 + chunk, budget.page_tokens) +
             1));
    EXPECT_EQ(pools->global_pages,
              budget.max_sequences *
                  DivideUp(budget.max_positions, budget.page_tokens));
  }
}

TEST(PoolSizesTest, TheLeastBudgetNamedIsTheLeastThatWorks) {
  for (uint32_t seed = 0; seed < 500; ++seed) {
    SCOPED_TRACE(seed);
    PoolBudget budget = RandomBudget(seed);
    budget.kv_bytes = 0;
    const absl::Status refusal = ChoosePoolSizes(budget).status();
    if (refusal.ok()) continue;  // ranks without a byte of KV
    const std::string message(refusal.message());
    EXPECT_THAT(message, HasSubstr("--kv-memory"));
    const int64_t least = std::stoll(message.substr(message.rfind(' ') + 1));
    budget.kv_bytes = least;
    EXPECT_TRUE(ChoosePoolSizes(budget).ok());
    budget.kv_bytes = least - 1;
    EXPECT_FALSE(ChoosePoolSizes(budget).ok());
  }
}

TEST(PoolSizesTest, MoreMemoryNeverMeansFewerPagesInAll) {
  PoolBudget budget = SmallModel();
  int64_t before = 0;
  for (int64_t mib = 64; mib < 65536; mib *= 2) {
    budget.kv_bytes = mib << 20;
    const absl::StatusOr<KvPoolSizes> pools = ChoosePoolSizes(budget);
    ASSERT_TRUE(pools.ok()) << pools.status();
    const int64_t pages = int64_t{pools->sliding_pages} + pools->global_pages;
    EXPECT_GE(pages, before);
    before = pages;
  }
}

TEST(PoolSizesTest, SlidingPagesLeaveGlobalPagesHalfOfATightBudget) {
  PoolBudget budget = SmallModel();
  budget.max_sequences = 1000;
  const absl::StatusOr<KvPoolSizes> pools = ChoosePoolSizes(budget);
  ASSERT_TRUE(pools.ok()) << pools.status();
  EXPECT_GE(pools->global_pages * budget.by_rank[0].global * 2,
            budget.kv_bytes - budget.by_rank[0].sliding);
}

// Half of this budget is less than one window of sliding pages.
TEST(PoolSizesTest, ASmallBudgetHoldsTheLongestSequenceItCan) {
  PoolBudget budget = SmallModel();
  budget.by_rank = {{3000, 1000}};
  budget.kv_bytes = 32 * 4000;
  const absl::StatusOr<KvPoolSizes> pools = ChoosePoolSizes(budget);
  ASSERT_TRUE(pools.ok()) << pools.status();
  EXPECT_EQ(pools->sliding_pages, 32);
  EXPECT_EQ(pools->global_pages, 32);
}

TEST(PoolSizesTest, RefusalNamesTheSizeThatIsOutOfRange) {
  PoolBudget budget = SmallModel();
  budget.max_sequences = 0;
  const absl::Status status = ChoosePoolSizes(budget).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("max_sequences: 0"));
}

}  // namespace
}  // namespace facet
