#include "scheduler/pages/page_geometry.h"

#include <algorithm>

namespace facet {

int64_t PageGeometry::SlidingFirstPage(int64_t start) const {
  return std::max<int64_t>(0, start - sliding_window + 1) / page_tokens;
}

PageDemand PageGeometry::MostPages(int64_t positions, int64_t max_chunk) const {
  PageDemand demand;
  demand.global = PagesOf(positions);
  // A chunk of n tokens sees n + W - 1 positions; a run of r >= 1 positions
  // that starts at the worst place touches PagesOf(r - 1) + 1 pages.
  const int64_t run = std::min(positions, max_chunk) + sliding_window - 1;
  demand.sliding = std::min(demand.global, PagesOf(run - 1) + 1);
  return demand;
}

int64_t PageGeometry::MostPositions(const KvPoolSizes& pools,
                                    int64_t max_positions,
                                    int64_t max_chunk) const {
  const PageDemand all = {pools.sliding_pages, pools.global_pages};
  int64_t fits = 0;
  int64_t too_many = max_positions + 1;
  while (too_many - fits > 1) {  // MostPages() rises with the positions
    const int64_t middle = fits + (too_many - fits) / 2;
    (MostPages(middle, max_chunk).FitsIn(all) ? fits : too_many) = middle;
  }
  return fits;
}

}  // namespace facet
