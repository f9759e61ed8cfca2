// Which sequence holds which pages of the sliding and the global pool.
//
// Page i of a sequence holds its positions [i * page_tokens, (i + 1) *
// page_tokens). Global layers need all of them; sliding layers only those that
// a query at or after the next start can see: with a window of W keys, the
// query's own included, a query at position p sees [p - W + 1, p].
#ifndef FACET_SCHEDULER_PAGES_PAGE_TABLE_H_
#define FACET_SCHEDULER_PAGES_PAGE_TABLE_H_

#include <cstdint>
#include <deque>
#include <vector>

#include "runtime/plan/step_plan.h"
#include "scheduler/pages/page_pool.h"

namespace facet {

// Pages of each pool.
struct PageDemand {
  int64_t sliding = 0;
  int64_t global = 0;
};

// How many pages the tokens of a sequence take.
struct PageGeometry {
  int page_tokens = 32;
  int sliding_window = 0;

  // Pages whose positions are all below this page index are out of sight of a
  // query at `start` and of every later one.
  int64_t SlidingFirstPage(int64_t start) const;

  // The most pages a sequence of `positions` tokens holds at any time when no
  // step brings more than `max_chunk` of them. Rises with both arguments.
  PageDemand MostPages(int64_t positions, int64_t max_chunk) const;
};

// The pages of one sequence.
struct SequencePages {
  int64_t sliding_first_page = 0;  // page index of sliding.front()
  std::deque<PageId> sliding;
  std::vector<PageId> global;
};

// Both pools. Callers reserve with MostPages(), so a grant never fails.
class PageTable {
 public:
  PageTable(const KvPoolSizes& sizes, int sliding_window);

  const PageGeometry& geometry() const { return geometry_; }
  const PagePool& sliding() const { return sliding_; }
  const PagePool& global() const { return global_; }

  // Prepares `pages` for `slice` (its start and tokens are read): takes back
  // the sliding pages behind the window of start, then grants what the slice
  // needs, and notes both in the slice.
  //
  // REQUIRES: the pools have enough free pages; slices of one sequence come in
  // order without gaps.
  void Grant(SequencePages* pages, SequenceSlice* slice);

  // Takes back all that `pages` holds and leaves it empty.
  void Release(SequencePages* pages);

 private:
  PageGeometry geometry_;
  PagePool sliding_;
  PagePool global_;
};

}  // namespace facet

#endif  // FACET_SCHEDULER_PAGES_PAGE_TABLE_H_
