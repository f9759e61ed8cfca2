// Faults pages in one by one, for kernels that cannot populate a range.
#ifndef FACET_RUNTIME_CHECKPOINT_TOUCH_PAGES_H_
#define FACET_RUNTIME_CHECKPOINT_TOUCH_PAGES_H_

#include <cstdint>

namespace facet {

// Brings the pages [begin, end) into this process' page tables. Returns 0, or
// EFAULT where the file behind them ends early: the kernel reads one byte of
// each on our behalf, so that is an error instead of a signal (a sandbox that
// forbids it gets plain reads). REQUIRES: `begin` at the start of a page.
int TouchPages(uintptr_t begin, uintptr_t end);

}  // namespace facet

#endif  // FACET_RUNTIME_CHECKPOINT_TOUCH_PAGES_H_
