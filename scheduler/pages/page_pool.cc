#include "scheduler/pages/page_pool.h"

#include "kernels/base/check.h"

namespace facet {

PagePool::PagePool(int32_t pages) : taken_(pages, false) {
  free_.reserve(pages);
  for (int32_t i = pages - 1; i >= 0; --i) free_.push_back(PageId{i});
}

PageId PagePool::Take() {
  FACET_CHECK(!free_.empty());
  const PageId page = free_.back();
  free_.pop_back();
  taken_[page.value] = true;
  return page;
}

void PagePool::GiveBack(PageId page) {
  FACET_CHECK(page.value >= 0 && page.value < size());
  FACET_CHECK(taken_[page.value]);
  taken_[page.value] = false;
  free_.push_back(page);
}

}  // namespace facet
