#include "scheduler/batching/prefill_budget.h"

#include <algorithm>
#include <random>

#include "gtest/gtest.h"

namespace facet {
namespace {

std::vector<int64_t> Divide(int64_t budget, const std::vector<int64_t>& left) {
  std::vector<PrefillWish> wishes;
  for (const int64_t tokens : left) wishes.push_back({tokens, tokens, 0});
  DividePrefillBudget(budget, &wishes);
  std::vector<int64_t> chunks;
  for (const PrefillWish& wish : wishes) chunks.push_back(wish.chunk);
  return chunks;
}

using Chunks = std::vector<int64_t>;

TEST(PrefillBudgetTest, AShortPromptDoesNotWaitBehindALongOne) {
  EXPECT_EQ(Divide(100, {1000, 500, 20}), (Chunks{50, 30, 20}));
  EXPECT_EQ(Divide(100, {1000, 20}), (Chunks{80, 20}));
  EXPECT_EQ(Divide(100, {1000}), (Chunks{100}));
  EXPECT_EQ(Divide(100, {30, 20, 20}), (Chunks{30, 20, 20}));
  EXPECT_EQ(Divide(1, {5, 1}), (Chunks{1, 0}));
  EXPECT_EQ(Divide(0, {5, 1}), (Chunks{0, 0}));
  EXPECT_EQ(Divide(10, {}), Chunks{});
}

TEST(PrefillBudgetTest, NoTokenIsLeftThatSomebodyWantsAndTheFirstHasHalf) {
  std::mt19937 random(3);
  for (int run = 0; run < 10000; ++run) {
    SCOPED_TRACE(run);
    std::vector<PrefillWish> wishes(random() % 6);
    int64_t wanted = 0;
    for (PrefillWish& wish : wishes) {
      wish.left = 1 + random() % 30;
      wish.most = random() % (wish.left + 1);
      wanted += wish.most;
    }
    const int64_t budget = random() % 40;
    DividePrefillBudget(budget, &wishes);
    int64_t given = 0;
    bool first = true;
    for (const PrefillWish& wish : wishes) {
      ASSERT_GE(wish.chunk, 0);
      ASSERT_LE(wish.chunk, wish.most);
      given += wish.chunk;
      if (wish.most == 0 || !first) continue;
      ASSERT_GE(wish.chunk, std::min(wish.most, (budget + 1) / 2));
      first = false;
    }
    ASSERT_EQ(given, std::min(wanted, budget));
  }
}

}  // namespace
}  // namespace facet
