#include "scheduler/pages/page_table.h"

#include <map>
#include <random>
#include <set>

#include "gtest/gtest.h"

namespace facet {
namespace {

constexpr KvPoolSizes kSizes = {
    .page_tokens = 4, .sliding_pages = 60, .global_pages = 120};

// What a sequence needs, worked out from scratch.
struct NaiveSequence {
  SequencePages pages;
  int64_t length = 0;
  std::map<int64_t, int> sliding;  // page index to page id
  std::map<int64_t, int> global;
};

// The page indices that queries at [start, end) can see.
std::set<int64_t> SeenPages(int64_t start, int64_t end, int window) {
  std::set<int64_t> pages;
  for (int64_t query = start; query < end; ++query) {
    for (int64_t key = std::max<int64_t>(0, query - window + 1); key <= query;
         ++key) {
      pages.insert(key / kSizes.page_tokens);
    }
  }
  return pages;
}

TEST(PageTableTest, AgreesWithANaiveModelOverRandomOperations) {
  for (const int window : {1, 3, 4, 9, 24}) {
    const int seed = 100 + window;
    SCOPED_TRACE(testing::Message() << "window " << window << " seed " << seed);
    std::mt19937 random(seed);
    PageTable table(kSizes, window);
    std::map<uint64_t, NaiveSequence> sequences;
    uint64_t next_id = 1;

    for (int operation = 0; operation < 10000; ++operation) {
      if (sequences.empty() || random() % 20 == 0) sequences[next_id++];
      auto chosen = sequences.begin();
      std::advance(chosen, random() % sequences.size());
      NaiveSequence& sequence = chosen->second;

      if (random() % 12 == 0) {
        table.Release(&sequence.pages);
        sequences.erase(chosen);
      } else {
        SequenceSlice slice;
        slice.start = sequence.length;
        slice.tokens.resize(1 + random() % 13);
        const int64_t end = slice.start + slice.tokens.size();
        const int64_t most_new = slice.tokens.size() / kSizes.page_tokens + 1;
        if (table.sliding().free_pages() < most_new ||
            table.global().free_pages() < most_new) {
          table.Release(&sequence.pages);
          sequences.erase(chosen);
          continue;
        }
        table.Grant(&sequence.pages, &slice);
        sequence.length = end;

        // As a worker would: drop, then append.
        auto& sliding = sequence.sliding;
        sliding.erase(sliding.begin(),
                      sliding.lower_bound(slice.sliding_first_page));
        int64_t index =
            (slice.start + kSizes.page_tokens - 1) / kSizes.page_tokens;
        for (const PageId page : slice.new_sliding_pages) {
          sliding[index++] = page.value;
        }
        for (const PageId page : slice.new_global_pages) {
          sequence.global[sequence.global.size()] = page.value;
        }

        // Holds what its queries see and no page in front of it.
        std::set<int64_t> held;
        for (const auto& [i, page] : sliding) held.insert(i);
        ASSERT_EQ(held, SeenPages(slice.start, end, window));
        ASSERT_EQ(static_cast<int64_t>(sequence.global.size()),
                  (end + kSizes.page_tokens - 1) / kSizes.page_tokens);
        const PageDemand most =
            table.geometry().MostPages(end, /*max_chunk=*/13);
        ASSERT_LE(static_cast<int64_t>(sliding.size()), most.sliding);
        ASSERT_LE(static_cast<int64_t>(sequence.global.size()), most.global);
      }

      // No page has two owners, and none is lost.
      std::set<int> sliding, global;
      size_t sliding_held = 0, global_held = 0;
      for (const auto& [id, s] : sequences) {
        for (const auto& [i, page] : s.sliding) sliding.insert(page);
        for (const auto& [i, page] : s.global) global.insert(page);
        sliding_held += s.sliding.size();
        global_held += s.global.size();
      }
      ASSERT_EQ(sliding.size(), sliding_held);
      ASSERT_EQ(global.size(), global_held);
      ASSERT_EQ(table.sliding().free_pages(),
                kSizes.sliding_pages - static_cast<int>(sliding_held));
      ASSERT_EQ(table.global().free_pages(),
                kSizes.global_pages - static_cast<int>(global_held));
    }
    for (auto& [id, sequence] : sequences) table.Release(&sequence.pages);
    EXPECT_EQ(table.sliding().free_pages(), kSizes.sliding_pages);
    EXPECT_EQ(table.global().free_pages(), kSizes.global_pages);
  }
}

TEST(PageGeometryTest, MostPagesIsReachedAndNeverExceeded) {
  for (const int page_tokens : {1, 3, 8}) {
    for (const int window : {1, 2, 8, 11}) {
      const PageGeometry geometry = {page_tokens, window};
      for (const int64_t chunk : {1, 2, 7, 16}) {
        for (int64_t positions = 1; positions < 50; ++positions) {
          // Any start of a chunk may occur, as other sequences share the step.
          int64_t most = 0;
          for (int64_t start = 0; start < positions; ++start) {
            const int64_t end = std::min(positions, start + chunk);
            most = std::max(most, (end + page_tokens - 1) / page_tokens -
                                      geometry.SlidingFirstPage(start));
          }
          const PageDemand demand = geometry.MostPages(positions, chunk);
          ASSERT_LE(most, demand.sliding);
          // Exact once the sequence is long enough to meet the worst start.
          if (positions > chunk + window + page_tokens) {
            ASSERT_EQ(most, demand.sliding)
                << page_tokens << " " << window << " " << chunk;
          }
        }
      }
    }
  }
}

TEST(PagePoolDeathTest, GivingAPageBackTwiceIsABug) {
  PagePool pool(2);
  const PageId page = pool.Take();
  pool.GiveBack(page);
  EXPECT_DEATH(pool.GiveBack(page), "bug in facet");
}

}  // namespace
}  // namespace facet
