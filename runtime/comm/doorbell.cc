#include "runtime/comm/doorbell.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <climits>

namespace facet {

// Not the private futex operations: the word is shared between processes.
void Doorbell::Sleep(uint32_t ticket, absl::Duration at_most) {
  if (at_most <= absl::ZeroDuration()) return;
  const timespec timeout = absl::ToTimespec(at_most);
  syscall(SYS_futex, reinterpret_cast<uint32_t*>(&rings_), FUTEX_WAIT, ticket,
          &timeout, nullptr, 0);
}

void Doorbell::Ring() {
  asleep_.store(0, std::memory_order_relaxed);
  rings_.fetch_add(1, std::memory_order_seq_cst);
  syscall(SYS_futex, reinterpret_cast<uint32_t*>(&rings_), FUTEX_WAKE, INT_MAX,
          nullptr, nullptr, 0);
}

}  // namespace facet
