// The pages of one pool: how many sequences hold each, and which the prefix
// cache wants kept. Says nothing of what is in them.
//
//   held    by one or more sequences, kept or not
//   cached  kept and held by nobody: free memory that may still be of use
//   blank   neither
#ifndef FACET_SCHEDULER_PAGES_PAGE_POOL_H_
#define FACET_SCHEDULER_PAGES_PAGE_POOL_H_

#include <cstdint>
#include <vector>

#include "runtime/plan/step_plan.h"

namespace facet {

// All operations take constant time.
class PagePool {
 public:
  explicit PagePool(int32_t pages);

  int32_t size() const { return static_cast<int32_t>(pages_.size()) - 1; }
  int32_t held() const { return size() - available(); }
  int32_t cached() const { return cached_; }
  int32_t blank() const { return static_cast<int32_t>(blank_.size()); }
  int32_t available() const { return cached_ + blank(); }

  int32_t holders(PageId page) const { return pages_[page.value].holders; }
  bool is_kept(PageId page) const { return pages_[page.value].kept; }

  struct Taken {
    PageId page;
    bool was_cached = false;  // and is kept no more
  };

  // A page that nobody held, held once now: a blank one if there is one (the
  // most recently emptied, whose bytes are the likeliest to be in a cache),
  // otherwise the cached one that was released first.
  // REQUIRES: available() > 0.
  Taken Take();

  // One holder more. REQUIRES: `page` is held or cached.
  void Hold(PageId page);

  // One holder less. REQUIRES: `page` is held.
  void Release(PageId page);

  // Not blank when its last holder releases it. REQUIRES: held and not kept.
  void Keep(PageId page);

  // Undoes Keep(). REQUIRES: `page` is kept.
  void Drop(PageId page);

 private:
  struct Page {
    int32_t holders = 0;
    bool kept = false;
    int32_t older = 0;  // neighbours in the list of cached pages
    int32_t newer = 0;
  };

  void Link(int32_t page);
  void Unlink(int32_t page);

  // The last entry heads the list of cached pages, a ring: its `newer` is the
  // oldest.
  std::vector<Page> pages_;
  std::vector<PageId> blank_;  // the next to take is at the back
  int32_t cached_ = 0;
};

}  // namespace facet

#endif  // FACET_SCHEDULER_PAGES_PAGE_POOL_H_
