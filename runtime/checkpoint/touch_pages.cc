#include "runtime/checkpoint/touch_pages.h"

#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>

namespace facet {

int TouchPages(uintptr_t begin, uintptr_t end) {
  constexpr size_t kPagesPerCall = 256;
  const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  iovec remote[kPagesPerCall];
  uint8_t bytes[kPagesPerCall];
  for (uintptr_t at = begin; at < end;) {
    size_t count = 0;
    for (; count < kPagesPerCall && at < end; at += page) {
      remote[count++] = {reinterpret_cast<void*>(at), 1};
    }
    const iovec local = {bytes, count};
    const ssize_t got = process_vm_readv(getpid(), &local, 1, remote, count, 0);
    if (got == static_cast<ssize_t>(count)) continue;
    if (got >= 0 || errno == EFAULT) return EFAULT;
    for (size_t i = 0; i < count; ++i) {
      const auto* byte =
          static_cast<const volatile uint8_t*>(remote[i].iov_base);
      static_cast<void>(*byte);
    }
  }
  return 0;
}

}  // namespace facet
