// How a rank sleeps until a peer on the same machine has moved bytes. It lies
// in shared memory; a peer makes a system call only when somebody sleeps.
//
//   sleeper:  ticket = Arm(); look again; Sleep(ticket)
//   ringer:   publish (seq_cst store); RingIfAsleep()
//
// Either the sleeper's second look sees what was published, or the ringer sees
// that the sleeper is armed.
#ifndef FACET_RUNTIME_COMM_DOORBELL_H_
#define FACET_RUNTIME_COMM_DOORBELL_H_

#include <atomic>
#include <cstdint>

#include "absl/time/time.h"

namespace facet {

// All zero is the initial state. One sleeper, any number of ringers.
class alignas(128) Doorbell {
 public:
  uint32_t Arm() {
    const uint32_t ticket = rings_.load(std::memory_order_seq_cst);
    asleep_.store(1, std::memory_order_seq_cst);
    return ticket;
  }
  void Disarm() { asleep_.store(0, std::memory_order_relaxed); }

  // Returns when rung since Arm(), after `at_most`, or for no reason.
  void Sleep(uint32_t ticket, absl::Duration at_most);

  void RingIfAsleep() {
    if (asleep_.load(std::memory_order_seq_cst) != 0) Ring();
  }
  void Ring();

 private:
  std::atomic<uint32_t> rings_;
  std::atomic<uint32_t> asleep_;
};
static_assert(std::atomic<uint32_t>::is_always_lock_free);

}  // namespace facet

#endif  // FACET_RUNTIME_COMM_DOORBELL_H_
