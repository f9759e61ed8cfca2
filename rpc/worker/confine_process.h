// Keeps a process on the CPUs that are its own.
#ifndef FACET_RPC_WORKER_CONFINE_PROCESS_H_
#define FACET_RPC_WORKER_CONFINE_PROCESS_H_

#include <vector>

namespace facet {

// Binds every thread of this process to `cpus`, and through them those that are
// started later; without effect where that is not allowed. A thread that only
// passes messages on would otherwise wake up on a CPU where another worker
// computes, and wait there for a whole step. REQUIRES: cpus is not empty.
void ConfineProcess(const std::vector<int>& cpus);

}  // namespace facet

#endif  // FACET_RPC_WORKER_CONFINE_PROCESS_H_
