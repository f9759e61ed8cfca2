#include "scheduler/pages/page_geometry.h"

#include <algorithm>

#include "gtest/gtest.h"

namespace facet {
namespace {

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

TEST(PageGeometryTest, MostPositionsIsTheLastLengthThatFits) {
  for (const int32_t sliding_pages : {0, 1, 3, 6, 40}) {
    for (const int32_t global_pages : {0, 1, 5, 12}) {
      for (const int64_t chunk : {1, 6, 100}) {
        const PageGeometry geometry = {4, 9};
        const KvPoolSizes pools = {4, sliding_pages, global_pages};
        int64_t naive = 0;
        while (naive < 35 && geometry.MostPages(naive + 1, chunk)
                                 .FitsIn({sliding_pages, global_pages})) {
          ++naive;
        }
        EXPECT_EQ(geometry.MostPositions(pools, 35, chunk), naive)
            << sliding_pages << " " << global_pages << " " << chunk;
      }
    }
  }
}

}  // namespace
}  // namespace facet
