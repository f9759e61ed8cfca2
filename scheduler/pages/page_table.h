// Which sequence holds which pages of the sliding and the global pool, and
// which of them it shares with others by way of the prefix cache.
#ifndef FACET_SCHEDULER_PAGES_PAGE_TABLE_H_
#define FACET_SCHEDULER_PAGES_PAGE_TABLE_H_

#include <cstdint>
#include <deque>
#include <vector>

#include "absl/types/span.h"
#include "runtime/plan/step_plan.h"
#include "scheduler/pages/page_geometry.h"
#include "scheduler/pages/page_key.h"
#include "scheduler/pages/page_pool.h"
#include "scheduler/pages/prefix_cache.h"

namespace facet {

// The pages of one sequence.
struct SequencePages {
  PageKeys keys;
  int64_t sliding_first_page = 0;  // page index of sliding.front()
  std::deque<PageId> sliding;
  std::vector<PageId> global;
  int64_t offered = 0;  // page indices below were offered to the cache
};

// A prefix of a sequence whose pages are cached.
struct CachedPrefix {
  int64_t pages = 0;
  // Pages of it that nobody holds: sharing it leaves so many fewer available.
  PageDemand idle;
};

class PageTable {
 public:
  PageTable(const KvPoolSizes& sizes, int sliding_window);

  const PageGeometry& geometry() const { return geometry_; }
  const PagePool& sliding() const { return sliding_; }
  const PagePool& global() const { return global_; }
  PageDemand available() const {
    return {sliding_.available(), global_.available()};
  }

  // Shared ones too.
  static PageDemand Held(const SequencePages& pages) {
    return {static_cast<int64_t>(pages.sliding.size()),
            static_cast<int64_t>(pages.global.size())};
  }

  // Rises whenever a prefix may have become longer.
  int64_t cache_version() const { return cache_.version(); }

  // The longest cached prefix of `tokens`, at most `most_pages` pages.
  CachedPrefix FindPrefix(PageKeys* keys, absl::Span<const int32_t> tokens,
                          int64_t most_pages) const;

  // Lets `pages` hold what FindPrefix() has just found.
  // REQUIRES: it holds nothing.
  void Share(const CachedPrefix& prefix, absl::Span<const int32_t> tokens,
             SequencePages* pages);

  // Whether `count` tokens from `start` on find pages.
  bool CanGrant(const SequencePages& pages, int64_t start, int64_t count) const;

  // The pages that a sequence has yet to take until its first `positions`
  // positions are computed, in steps of at most `max_chunk`.
  PageDemand StillNeeded(const SequencePages& pages, int64_t positions,
                         int64_t max_chunk) const;

  // The same for one that is about to share `prefix`, the idle pages of that
  // included.
  PageDemand StillNeeded(const CachedPrefix& prefix, int64_t positions,
                         int64_t max_chunk) const;

  // Prepares `pages` for `slice` (its begins, start and tokens are read): takes
  // back the sliding pages behind the window of start, then takes what the
  // slice needs, and notes in the slice what the workers do not know yet.
  //
  // REQUIRES: CanGrant(); slices of one sequence come in order without gaps.
  void Grant(SequencePages* pages, SequenceSlice* slice);

  // Positions below `computed` are in their pages: offers the full ones to the
  // cache. `tokens` are the sequence's, `computed` at least.
  void Offer(absl::Span<const int32_t> tokens, int64_t computed,
             SequencePages* pages);

  // Takes back all that `pages` holds; its keys stay.
  void Release(SequencePages* pages);

  // Empties the pools and the cache. REQUIRES: nothing is held.
  void Forget();

 private:
  // Of a sequence that has pages up to index `end`, `sliding` of them in the
  // sliding pool.
  PageDemand NeededBehind(int64_t end, int64_t sliding, int64_t positions,
                          int64_t max_chunk) const;
  PageId TakeSliding();
  PageId TakeGlobal();

  const KvPoolSizes sizes_;
  const PageGeometry geometry_;
  PagePool sliding_;
  PagePool global_;
  PrefixCache cache_;
};

}  // namespace facet

#endif  // FACET_SCHEDULER_PAGES_PAGE_TABLE_H_
