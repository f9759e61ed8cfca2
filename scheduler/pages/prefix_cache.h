// Which pages hold which prefix. Remembers pages by their keys; that they stay
// what they are is the pools' business (see PageTable).
//
// A key may have a page of the global pool, and beside it one of the sliding
// pool: that of a window that has moved on is often gone first. Without its
// global page a key is of no use to anybody and forgotten.
#ifndef FACET_SCHEDULER_PAGES_PREFIX_CACHE_H_
#define FACET_SCHEDULER_PAGES_PREFIX_CACHE_H_

#include <cstdint>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/types/span.h"
#include "runtime/plan/step_plan.h"
#include "scheduler/pages/page_geometry.h"
#include "scheduler/pages/page_key.h"

namespace facet {

inline constexpr PageId kNoPage = {-1};

// Pages of equal tokens.
struct PagePair {
  PageId global = kNoPage;
  PageId sliding = kNoPage;
};

class PrefixCache {
 public:
  PrefixCache(const KvPoolSizes& sizes, int sliding_window);

  int64_t keys() const { return static_cast<int64_t>(by_key_.size()); }

  // Rises whenever a page is remembered.
  int64_t version() const { return version_; }

  // The longest prefix of `tokens` that a sequence can begin behind, in pages,
  // at most `most_pages`: all its global pages are here, and all the sliding
  // ones that a query behind it sees.
  int64_t LongestPrefix(PageKeys* keys, absl::Span<const int32_t> tokens,
                        int64_t most_pages) const;

  // REQUIRES: `key` is remembered.
  PagePair Pages(const PageKey& key) const { return by_key_.at(key); }

  // Remembers `pages` for `key` where it has none yet; pages.sliding may be
  // kNoPage. Returns those that were new.
  PagePair Insert(const PageKey& key, const PagePair& pages);

  // The page is about to hold something else. Returns the sliding page that is
  // forgotten with it, or kNoPage.
  PageId ForgetGlobal(PageId page);
  void ForgetSliding(PageId page);

 private:
  PageGeometry geometry_;
  absl::flat_hash_map<PageKey, PagePair> by_key_;
  std::vector<PageKey> global_keys_;  // by page id
  std::vector<PageKey> sliding_keys_;
  int64_t version_ = 0;
};

}  // namespace facet

#endif  // FACET_SCHEDULER_PAGES_PREFIX_CACHE_H_
