#include "scheduler/pages/prefix_cache.h"

#include "kernels/base/check.h"

namespace facet {

PrefixCache::PrefixCache(const KvPoolSizes& sizes, int sliding_window)
    : geometry_{sizes.page_tokens, sliding_window},
      global_keys_(sizes.global_pages),
      sliding_keys_(sizes.sliding_pages) {
  by_key_.reserve(sizes.global_pages);
}

int64_t PrefixCache::LongestPrefix(PageKeys* keys,
                                   absl::Span<const int32_t> tokens,
                                   int64_t most_pages) const {
  int64_t longest = 0;
  int64_t sliding_run = 0;  // pages up to here that have a sliding one
  for (int64_t page = 0; page < most_pages; ++page) {
    const auto found =
        by_key_.find(keys->Of(page, tokens, geometry_.page_tokens));
    if (found == by_key_.end()) break;
    sliding_run = found->second.sliding == kNoPage ? 0 : sliding_run + 1;
    const int64_t end = page + 1;
    const int64_t seen =
        end - geometry_.SlidingFirstPage(end * geometry_.page_tokens);
    if (sliding_run >= seen) longest = end;
  }
  return longest;
}

PagePair PrefixCache::Insert(const PageKey& key, const PagePair& pages) {
  PagePair& known = by_key_[key];
  PagePair added;
  if (known.global == kNoPage) {
    known.global = added.global = pages.global;
    global_keys_[pages.global.value] = key;
    ++version_;
  }
  if (known.sliding == kNoPage && !(pages.sliding == kNoPage)) {
    known.sliding = added.sliding = pages.sliding;
    sliding_keys_[pages.sliding.value] = key;
    ++version_;
  }
  return added;
}

PageId PrefixCache::ForgetGlobal(PageId page) {
  const auto found = by_key_.find(global_keys_[page.value]);
  FACET_CHECK(found != by_key_.end() && found->second.global == page);
  const PageId sliding = found->second.sliding;
  by_key_.erase(found);
  return sliding;
}

void PrefixCache::ForgetSliding(PageId page) {
  const auto found = by_key_.find(sliding_keys_[page.value]);
  FACET_CHECK(found != by_key_.end() && found->second.sliding == page);
  found->second.sliding = kNoPage;
}

}  // namespace facet
