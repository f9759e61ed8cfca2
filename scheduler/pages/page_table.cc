#include "scheduler/pages/page_table.h"

#include <algorithm>

#include "kernels/base/check.h"

namespace facet {
namespace {

int64_t DivideUp(int64_t a, int64_t b) { return (a + b - 1) / b; }

}  // namespace

int64_t PageGeometry::SlidingFirstPage(int64_t start) const {
  return std::max<int64_t>(0, start - sliding_window + 1) / page_tokens;
}

PageDemand PageGeometry::MostPages(int64_t positions, int64_t max_chunk) const {
  PageDemand demand;
  demand.global = DivideUp(positions, page_tokens);
  // A chunk of n tokens sees n + W - 1 positions; a run of r >= 1 positions
  // that starts at the worst place touches DivideUp(r - 1, page_tokens) + 1
  // pages.
  const int64_t run = std::min(positions, max_chunk) + sliding_window - 1;
  demand.sliding = std::min(demand.global, DivideUp(run - 1, page_tokens) + 1);
  return demand;
}

PageTable::PageTable(const KvPoolSizes& sizes, int sliding_window)
    : geometry_{sizes.page_tokens, sliding_window},
      sliding_(sizes.sliding_pages),
      global_(sizes.global_pages) {
  FACET_CHECK(sizes.page_tokens > 0 && sliding_window > 0);
}

void PageTable::Grant(SequencePages* pages, SequenceSlice* slice) {
  const int64_t first = geometry_.SlidingFirstPage(slice->start);
  while (pages->sliding_first_page < first) {
    FACET_CHECK(!pages->sliding.empty());
    sliding_.GiveBack(pages->sliding.front());
    pages->sliding.pop_front();
    ++pages->sliding_first_page;
  }
  slice->sliding_first_page = first;

  const int64_t end =
      DivideUp(slice->start + static_cast<int64_t>(slice->tokens.size()),
               geometry_.page_tokens);
  while (pages->sliding_first_page +
             static_cast<int64_t>(pages->sliding.size()) <
         end) {
    pages->sliding.push_back(sliding_.Take());
    slice->new_sliding_pages.push_back(pages->sliding.back());
  }
  while (static_cast<int64_t>(pages->global.size()) < end) {
    pages->global.push_back(global_.Take());
    slice->new_global_pages.push_back(pages->global.back());
  }
}

void PageTable::Release(SequencePages* pages) {
  for (const PageId page : pages->sliding) sliding_.GiveBack(page);
  for (const PageId page : pages->global) global_.GiveBack(page);
  *pages = SequencePages();
}

}  // namespace facet
