#include "scheduler/pages/page_pool.h"

#include "kernels/base/check.h"

namespace facet {

PagePool::PagePool(int32_t pages) : pages_(pages + 1) {
  FACET_CHECK(pages >= 0);
  pages_[pages].older = pages;
  pages_[pages].newer = pages;
  blank_.reserve(pages);
  for (int32_t i = pages - 1; i >= 0; --i) blank_.push_back(PageId{i});
}

void PagePool::Link(int32_t page) {
  const int32_t head = size();
  const int32_t newest = pages_[head].older;
  pages_[page].older = newest;
  pages_[page].newer = head;
  pages_[newest].newer = page;
  pages_[head].older = page;
  ++cached_;
}

void PagePool::Unlink(int32_t page) {
  const Page& links = pages_[page];
  pages_[links.older].newer = links.newer;
  pages_[links.newer].older = links.older;
  --cached_;
}

PagePool::Taken PagePool::Take() {
  Taken taken;
  if (!blank_.empty()) {
    taken.page = blank_.back();
    blank_.pop_back();
  } else {
    FACET_CHECK(cached_ > 0);
    taken.page = PageId{pages_[size()].newer};
    taken.was_cached = true;
    Unlink(taken.page.value);
    pages_[taken.page.value].kept = false;
  }
  pages_[taken.page.value].holders = 1;
  return taken;
}

void PagePool::Hold(PageId page) {
  Page& state = pages_[page.value];
  FACET_CHECK(state.holders > 0 || state.kept);
  if (state.holders++ == 0) Unlink(page.value);
}

void PagePool::Release(PageId page) {
  FACET_CHECK(page.value >= 0 && page.value < size());
  Page& state = pages_[page.value];
  FACET_CHECK(state.holders > 0);
  if (--state.holders > 0) return;
  if (state.kept) {
    Link(page.value);
  } else {
    blank_.push_back(page);
  }
}

void PagePool::Keep(PageId page) {
  Page& state = pages_[page.value];
  FACET_CHECK(state.holders > 0 && !state.kept);
  state.kept = true;
}

void PagePool::Drop(PageId page) {
  Page& state = pages_[page.value];
  FACET_CHECK(state.kept);
  state.kept = false;
  if (state.holders > 0) return;
  Unlink(page.value);
  blank_.push_back(page);
}

}  // namespace facet
