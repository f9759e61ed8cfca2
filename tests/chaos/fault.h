// What can befall a worker process, and the network it is on.
#ifndef FACET_TESTS_CHAOS_FAULT_H_
#define FACET_TESTS_CHAOS_FAULT_H_

#include <sys/types.h>

#include <random>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace facet {

enum class FaultKind {
  kKill,   // the process ends at once
  kPause,  // it stands still for a moment that nobody minds
  kStall,  // it stands still for good
  kReset,  // one of its connections breaks
  kLeave,  // it is asked to leave
  kWedge,  // the thread that computes stands still, the others go on
  kSlow,   // it gets a fraction of its time for a while
  // Of a network:
  kPartition,  // one direction, or both, to or from it or one of its peers
  kLoss,       // everywhere, for a while
  kLatency,    // the same
  // Of the coordinator:
  kCoordinator,  // it ends at once and is started again
  kFullDisk,     // files cannot grow for a moment, the journal among them
};
inline constexpr int kProcessFaults = 7;  // those before kPartition
inline constexpr int kWorkerFaults = 10;  // those before kCoordinator
inline constexpr int kFaultKinds = 12;

const char* Name(FaultKind kind);

// Lets `kind` befall `pid`, kPause, kSlow and kFullDisk for `pause`. A process
// that has gone meanwhile is none's fault. kCoordinator only kills. REQUIRES:
// `kind` is no network's.
//
// Errors: PERMISSION_DENIED where this system forbids it.
absl::Status Inject(FaultKind kind, pid_t pid, absl::Duration pause,
                    std::mt19937_64& random);

}  // namespace facet

#endif  // FACET_TESTS_CHAOS_FAULT_H_
