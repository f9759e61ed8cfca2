// NCCL's part for ranks that are threads on emulated devices. Its calls are
// taken by and by, as those of a communicator that does not block; what they
// ask of a stream waits there for the other ranks; recordings run again and
// again; and an abort waits until nobody has recordings of the communicator any
// more. What NCCL requires is checked: all ranks make the same calls in the
// same order, and those that run from a recording do so on every rank.
#ifndef FACET_TESTS_GPU_EMULATED_NCCL_H_
#define FACET_TESTS_GPU_EMULATED_NCCL_H_

#include <atomic>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "runtime/comm/nccl_api.h"

namespace facet {

// Of all communicators of the process.
struct EmulatedNccl {
  // Calls on a stream that runs, by name and bytes such as "all-gather 256",
  // and how often recordings of them were run; of rank 0.
  std::map<std::string, int> called, recorded, replayed;
  std::atomic<int> communicators = 0;
  std::atomic<int> aborts_begun = 0, aborts_ended = 0;
  // From now on recordings wait for ever, until they are aborted.
  std::atomic<bool> replays_hang = false;
  std::string broken_rule;  // the first one; empty: none
};

// Counts from nothing; communicators of before are gone.
EmulatedNccl& StartEmulatedNccl();
const NcclApi& EmulatedNcclApi();
// A copy of the counts, while ranks may be running.
std::map<std::string, int> CountsOf(const std::map<std::string, int>& of);

}  // namespace facet

#endif  // FACET_TESTS_GPU_EMULATED_NCCL_H_
