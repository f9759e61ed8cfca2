// The free pages of one pool. Says which pages are free, not what is in them.
#ifndef FACET_SCHEDULER_PAGES_PAGE_POOL_H_
#define FACET_SCHEDULER_PAGES_PAGE_POOL_H_

#include <cstdint>
#include <vector>

#include "runtime/plan/step_plan.h"

namespace facet {

// Pages are taken lowest id first after construction, most recently given back
// first later on: their bytes are the likeliest to be in a cache.
class PagePool {
 public:
  explicit PagePool(int32_t pages);

  int32_t size() const { return static_cast<int32_t>(taken_.size()); }
  int32_t free_pages() const { return static_cast<int32_t>(free_.size()); }
  bool is_taken(PageId page) const { return taken_[page.value]; }

  // REQUIRES: free_pages() > 0.
  PageId Take();

  // REQUIRES: `page` is taken.
  void GiveBack(PageId page);

 private:
  std::vector<PageId> free_;  // the next to take is at the back
  std::vector<bool> taken_;   // by page id
};

}  // namespace facet

#endif  // FACET_SCHEDULER_PAGES_PAGE_POOL_H_
