// How many pages the tokens of a sequence take. Arithmetic alone.
//
// Page i of a sequence holds its positions [i * page_tokens, (i + 1) *
// page_tokens). Global layers need all of them; sliding layers only those that
// a query at or after the next start can see: with a window of W keys, the
// query's own included, a query at position p sees [p - W + 1, p].
#ifndef FACET_SCHEDULER_PAGES_PAGE_GEOMETRY_H_
#define FACET_SCHEDULER_PAGES_PAGE_GEOMETRY_H_

#include <cstdint>

#include "runtime/plan/step_plan.h"

namespace facet {

// Pages of each pool.
struct PageDemand {
  int64_t sliding = 0;
  int64_t global = 0;

  PageDemand& operator+=(const PageDemand& other) {
    sliding += other.sliding;
    global += other.global;
    return *this;
  }
  bool FitsIn(const PageDemand& other) const {
    return sliding <= other.sliding && global <= other.global;
  }
};

struct PageGeometry {
  int page_tokens = 32;
  int sliding_window = 0;

  // Pages that `positions` positions from 0 on touch.
  int64_t PagesOf(int64_t positions) const {
    return (positions + page_tokens - 1) / page_tokens;
  }

  // Pages whose positions are all below this page index are out of sight of a
  // query at `start` and of every later one.
  int64_t SlidingFirstPage(int64_t start) const;

  // The most pages a sequence of `positions` tokens holds at any time when no
  // step brings more than `max_chunk` of them. Rises with both arguments.
  PageDemand MostPages(int64_t positions, int64_t max_chunk) const;

  // The most positions, up to `max_positions`, of a sequence that has `pools`
  // for itself.
  int64_t MostPositions(const KvPoolSizes& pools, int64_t max_positions,
                        int64_t max_chunk) const;
};

}  // namespace facet

#endif  // FACET_SCHEDULER_PAGES_PAGE_GEOMETRY_H_
