#include "scheduler/pages/page_pool.h"

#include <algorithm>
#include <deque>
#include <random>
#include <vector>

#include "gtest/gtest.h"

namespace facet {
namespace {

// The pool, written down as it would be told.
struct NaivePool {
  explicit NaivePool(int pages) : holders(pages, 0), kept(pages, false) {}
  std::vector<int> holders;
  std::vector<bool> kept;
  std::deque<int> cached;  // released first in front

  int Blank() const {
    int blank = 0;
    for (size_t i = 0; i < holders.size(); ++i) {
      blank += holders[i] == 0 && !kept[i];
    }
    return blank;
  }
};

TEST(PagePoolTest, AgreesWithANaiveModelOverRandomOperations) {
  constexpr int kPages = 12;
  std::mt19937 random(7);
  PagePool pool(kPages);
  NaivePool naive(kPages);
  for (int operation = 0; operation < 10000; ++operation) {
    SCOPED_TRACE(testing::Message() << "seed 7, operation " << operation);
    const int page = random() % kPages;
    switch (random() % 6) {
      case 0:
      case 1: {
        if (pool.available() == 0) break;
        const bool from_cache = naive.Blank() == 0;
        const PagePool::Taken taken = pool.Take();
        ASSERT_EQ(taken.was_cached, from_cache);
        ASSERT_EQ(naive.holders[taken.page.value], 0);
        if (from_cache) {
          ASSERT_EQ(taken.page.value, naive.cached.front());
          naive.cached.pop_front();
        }
        naive.kept[taken.page.value] = false;
        naive.holders[taken.page.value] = 1;
        break;
      }
      case 2:
        if (naive.holders[page] == 0 && !naive.kept[page]) break;
        pool.Hold(PageId{page});
        if (naive.holders[page]++ == 0) {
          naive.cached.erase(
              std::find(naive.cached.begin(), naive.cached.end(), page));
        }
        break;
      case 3:
        if (naive.holders[page] == 0) break;
        pool.Release(PageId{page});
        if (--naive.holders[page] == 0 && naive.kept[page]) {
          naive.cached.push_back(page);
        }
        break;
      case 4:
        if (naive.holders[page] == 0 || naive.kept[page]) break;
        pool.Keep(PageId{page});
        naive.kept[page] = true;
        break;
      case 5:
        if (!naive.kept[page] || random() % 4 != 0) break;
        pool.Drop(PageId{page});
        naive.kept[page] = false;
        if (naive.holders[page] == 0) {
          naive.cached.erase(
              std::find(naive.cached.begin(), naive.cached.end(), page));
        }
        break;
    }
    ASSERT_EQ(pool.cached(), static_cast<int>(naive.cached.size()));
    ASSERT_EQ(pool.blank(), naive.Blank());
    ASSERT_EQ(pool.held() + pool.available(), kPages);
    for (int i = 0; i < kPages; ++i) {
      ASSERT_EQ(pool.holders(PageId{i}), naive.holders[i]);
      ASSERT_EQ(pool.is_kept(PageId{i}), naive.kept[i]);
    }
  }
}

TEST(PagePoolTest, BlankPagesGoBeforeCachedOnes) {
  PagePool pool(3);
  const PageId kept = pool.Take().page;
  pool.Keep(kept);
  pool.Release(kept);
  EXPECT_FALSE(pool.Take().was_cached);
  EXPECT_FALSE(pool.Take().was_cached);
  const PagePool::Taken last = pool.Take();
  EXPECT_TRUE(last.was_cached);
  EXPECT_EQ(last.page, kept);
  EXPECT_EQ(pool.available(), 0);
}

TEST(PagePoolDeathTest, MisuseIsABug) {
  PagePool pool(2);
  const PageId page = pool.Take().page;
  EXPECT_DEATH(pool.Drop(page), "bug in facet");
  pool.Release(page);
  EXPECT_DEATH(pool.Release(page), "bug in facet");
  EXPECT_DEATH(pool.Hold(page), "bug in facet");
  EXPECT_DEATH(pool.Keep(page), "bug in facet");
}

}  // namespace
}  // namespace facet
