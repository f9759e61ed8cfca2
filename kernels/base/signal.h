// A number that one thread sets and others wait for.
#ifndef FACET_KERNELS_BASE_SIGNAL_H_
#define FACET_KERNELS_BASE_SIGNAL_H_

#include <atomic>
#include <cstdint>

#include "kernels/base/spinner.h"

namespace facet {

// Setting makes a system call only when somebody sleeps; waiting makes one only
// after a Spinner's time. On a cache line of its own.
class alignas(64) Signal {
 public:
  uint32_t value() const { return value_.load(std::memory_order_acquire); }

  // What was written before is seen by who sees `value`.
  void Set(uint32_t value) {
    // Ordered before the look at sleepers_, as a sleeper orders its entry there
    // before the kernel's look at value_: one of the two sees the other.
    value_.store(value, std::memory_order_seq_cst);
    if (sleepers_.load(std::memory_order_seq_cst) != 0) Wake();
  }

  // Returns the value once it differs from `old`.
  uint32_t WaitWhile(uint32_t old, Spinner& spinner) const {
    const uint32_t now = value();
    return now != old ? now : Wait(old, spinner);
  }

 private:
  void Wake() const;
  uint32_t Wait(uint32_t old, Spinner& spinner) const;

  std::atomic<uint32_t> value_{0};
  mutable std::atomic<uint32_t> sleepers_{0};
};

}  // namespace facet

#endif  // FACET_KERNELS_BASE_SIGNAL_H_
