// Who gets which rank and which CPUs. Pure arithmetic on what workers say of
// themselves.
#ifndef FACET_RPC_COORDINATOR_PLACES_H_
#define FACET_RPC_COORDINATOR_PLACES_H_

#include <vector>

#include "absl/status/statusor.h"
#include "rpc/convert/control_messages.h"

namespace facet {

// One assignment per worker, in the order of `workers`: `common` with rank,
// endpoints, threads and cpus filled in.
//
// Workers of one machine get neighbouring ranks, since ranks of a tensor group
// talk most; otherwise ranks follow the order of joining. A worker that has the
// weights of a rank gets that rank again, unless another one does. Workers that
// may run on the same CPUs of one machine divide them evenly,
// `threads_per_worker` each where it is not 0, and are pinned when each then
// has CPUs of its own; a worker that shares with nobody is left to the
// operating system.
//
// Errors: FAILED_PRECONDITION when workers of different machines meet and one
// of them can only be reached on its loopback address.
absl::StatusOr<std::vector<WorkerAssignment>> AssignPlaces(
    const std::vector<WorkerRegistration>& workers,
    const WorkerAssignment& common, int threads_per_worker);

}  // namespace facet

#endif  // FACET_RPC_COORDINATOR_PLACES_H_
