#include "scheduler/pages/page_table.h"

#include <algorithm>

#include "kernels/base/check.h"

namespace facet {

PageTable::PageTable(const KvPoolSizes& sizes, int sliding_window)
    : sizes_(sizes),
      geometry_{sizes.page_tokens, sliding_window},
      sliding_(sizes.sliding_pages),
      global_(sizes.global_pages),
      cache_(sizes, sliding_window) {
  FACET_CHECK(sizes.page_tokens > 0 && sliding_window > 0);
}

PageId PageTable::TakeSliding() {
  const PagePool::Taken taken = sliding_.Take();
  if (taken.was_cached) cache_.ForgetSliding(taken.page);
  return taken.page;
}

PageId PageTable::TakeGlobal() {
  const PagePool::Taken taken = global_.Take();
  if (taken.was_cached) {
    const PageId sliding = cache_.ForgetGlobal(taken.page);
    if (!(sliding == kNoPage)) sliding_.Drop(sliding);
  }
  return taken.page;
}

CachedPrefix PageTable::FindPrefix(PageKeys* keys,
                                   absl::Span<const int32_t> tokens,
                                   int64_t most_pages) const {
  CachedPrefix prefix;
  prefix.pages = cache_.LongestPrefix(keys, tokens, most_pages);
  const int64_t first_sliding =
      geometry_.SlidingFirstPage(prefix.pages * geometry_.page_tokens);
  for (int64_t page = 0; page < prefix.pages; ++page) {
    const PagePair pair =
        cache_.Pages(keys->Of(page, tokens, geometry_.page_tokens));
    if (global_.holders(pair.global) == 0) ++prefix.idle.global;
    if (page >= first_sliding && sliding_.holders(pair.sliding) == 0) {
      ++prefix.idle.sliding;
    }
  }
  return prefix;
}

void PageTable::Share(const CachedPrefix& prefix,
                      absl::Span<const int32_t> tokens, SequencePages* pages) {
  FACET_CHECK(pages->global.empty() && pages->sliding.empty());
  pages->sliding_first_page =
      geometry_.SlidingFirstPage(prefix.pages * geometry_.page_tokens);
  pages->global.reserve(prefix.pages);
  for (int64_t page = 0; page < prefix.pages; ++page) {
    const PagePair pair =
        cache_.Pages(pages->keys.Of(page, tokens, geometry_.page_tokens));
    global_.Hold(pair.global);
    pages->global.push_back(pair.global);
    if (page < pages->sliding_first_page) continue;
    sliding_.Hold(pair.sliding);
    pages->sliding.push_back(pair.sliding);
  }
  pages->offered = prefix.pages;
}

bool PageTable::CanGrant(const SequencePages& pages, int64_t start,
                         int64_t count) const {
  const int64_t end = geometry_.PagesOf(start + count);
  const int64_t held = static_cast<int64_t>(pages.sliding.size());
  const int64_t new_sliding = end - pages.sliding_first_page - held;
  const int64_t new_global = end - static_cast<int64_t>(pages.global.size());
  if (new_global > global_.available()) return false;
  if (new_sliding <= sliding_.available()) return true;
  const int64_t behind = std::min(
      held, geometry_.SlidingFirstPage(start) - pages.sliding_first_page);
  int64_t freed = 0;
  for (int64_t i = 0; i < behind; ++i) {
    if (sliding_.holders(pages.sliding[i]) == 1) ++freed;
  }
  return new_sliding <= sliding_.available() + freed;
}

PageDemand PageTable::NeededBehind(int64_t end, int64_t sliding,
                                   int64_t positions, int64_t max_chunk) const {
  const PageDemand most = geometry_.MostPages(positions, max_chunk);
  PageDemand needed;
  needed.global = std::max<int64_t>(0, most.global - end);
  // As the window moves on, pages behind it serve in front again.
  needed.sliding =
      std::clamp<int64_t>(most.sliding - sliding, 0, needed.global);
  return needed;
}

PageDemand PageTable::StillNeeded(const SequencePages& pages, int64_t positions,
                                  int64_t max_chunk) const {
  return NeededBehind(static_cast<int64_t>(pages.global.size()),
                      static_cast<int64_t>(pages.sliding.size()), positions,
                      max_chunk);
}

PageDemand PageTable::StillNeeded(const CachedPrefix& prefix, int64_t positions,
                                  int64_t max_chunk) const {
  const int64_t sliding =
      prefix.pages -
      geometry_.SlidingFirstPage(prefix.pages * geometry_.page_tokens);
  PageDemand needed = NeededBehind(prefix.pages, sliding, positions, max_chunk);
  needed += prefix.idle;
  return needed;
}

void PageTable::Grant(SequencePages* pages, SequenceSlice* slice) {
  const int64_t first = geometry_.SlidingFirstPage(slice->start);
  while (pages->sliding_first_page < first) {
    FACET_CHECK(!pages->sliding.empty());
    sliding_.Release(pages->sliding.front());
    pages->sliding.pop_front();
    ++pages->sliding_first_page;
  }
  slice->sliding_first_page = first;
  if (slice->begins.has_value()) {
    slice->new_sliding_pages.assign(pages->sliding.begin(),
                                    pages->sliding.end());
    slice->new_global_pages = pages->global;
  }

  const int64_t end = geometry_.PagesOf(
      slice->start + static_cast<int64_t>(slice->tokens.size()));
  while (pages->sliding_first_page +
             static_cast<int64_t>(pages->sliding.size()) <
         end) {
    pages->sliding.push_back(TakeSliding());
    slice->new_sliding_pages.push_back(pages->sliding.back());
  }
  while (static_cast<int64_t>(pages->global.size()) < end) {
    pages->global.push_back(TakeGlobal());
    slice->new_global_pages.push_back(pages->global.back());
  }
}

void PageTable::Offer(absl::Span<const int32_t> tokens, int64_t computed,
                      SequencePages* pages) {
  const int64_t full = computed / geometry_.page_tokens;
  for (; pages->offered < full; ++pages->offered) {
    const int64_t page = pages->offered;
    PagePair pair;
    pair.global = pages->global[page];
    if (page >= pages->sliding_first_page) {  // else it has moved on meanwhile
      pair.sliding = pages->sliding[page - pages->sliding_first_page];
    }
    const PagePair added = cache_.Insert(
        pages->keys.Of(page, tokens, geometry_.page_tokens), pair);
    if (!(added.global == kNoPage)) global_.Keep(added.global);
    if (!(added.sliding == kNoPage)) sliding_.Keep(added.sliding);
  }
}

void PageTable::Release(SequencePages* pages) {
  // Cached pages are lost in the order of their release: what is of use only
  // behind others goes before them.
  for (auto page = pages->sliding.rbegin(); page != pages->sliding.rend();
       ++page) {
    sliding_.Release(*page);
  }
  for (auto page = pages->global.rbegin(); page != pages->global.rend();
       ++page) {
    global_.Release(*page);
  }
  pages->sliding_first_page = 0;
  pages->sliding.clear();
  pages->global.clear();
  pages->offered = 0;
}

void PageTable::Forget() {
  FACET_CHECK(sliding_.held() == 0 && global_.held() == 0);
  sliding_ = PagePool(sizes_.sliding_pages);
  global_ = PagePool(sizes_.global_pages);
  cache_ = PrefixCache(sizes_, geometry_.sliding_window);
}

}  // namespace facet
