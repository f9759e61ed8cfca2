#include "kernels/base/signal.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <climits>

namespace facet {

void Signal::Wake() const {
  syscall(SYS_futex, &value_, FUTEX_WAKE_PRIVATE, INT_MAX, nullptr, nullptr, 0);
}

uint32_t Signal::Wait(uint32_t old, Spinner& spinner) const {
  spinner.Begin();
  uint32_t now = old;
  do {
    now = value();
  } while (now == old && spinner.Spin());
  spinner.End(now != old);
  if (now != old) return now;
  sleepers_.fetch_add(1, std::memory_order_seq_cst);
  while ((now = value()) == old) {
    syscall(SYS_futex, &value_, FUTEX_WAIT_PRIVATE, old, nullptr, nullptr, 0);
  }
  sleepers_.fetch_sub(1, std::memory_order_relaxed);
  return now;
}

}  // namespace facet
