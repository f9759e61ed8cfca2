// One worker process: finds its coordinator, joins, serves its rank until told
// to leave.
#ifndef FACET_RPC_WORKER_WORKER_H_
#define FACET_RPC_WORKER_WORKER_H_

#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "rpc/control/trust.h"
#include "rpc/worker/worker_parts.h"

namespace facet {

struct WorkerOptions {
  std::string coordinator;  // HOST:PORT
  // How long to keep trying to reach the coordinator, first and whenever the
  // world this worker was in is lost.
  absl::Duration join_timeout = absl::Minutes(5);
  TrustFiles trust;
  // Where this machine keeps the model; empty: where the coordinator says.
  std::string model_directory;
  // Numeric address peers reach this worker at; empty: the one it reaches the
  // coordinator from.
  std::string comm_host;
  bool grow = false;           // see WorkerRegistration
  std::string device = "cpu";  // see ParseDevice(); "cuda" is the first GPU
  // The whole process is this worker: SIGTERM and SIGINT finish the running
  // step and leave, and all threads stay on the CPUs the coordinator names.
  // Blocks both signals in the calling thread, so call it before any other
  // exists.
  bool own_process = true;
};

// Environment: FACET_JOIN_TOKEN, the token of the cluster; FACET_BUILD_ID.
//
// Returns OK after leaving in order. Errors:
//   INVALID_ARGUMENT     an address that is none; FACET_ISA names nothing
//   usable DEADLINE_EXCEEDED    "cannot reach coordinator at HOST:PORT"
//   FAILED_PRECONDITION  the coordinator refuses this worker: the cluster is
//                        of another build or numerics mode
//   RESOURCE_EXHAUSTED   the cluster has all the spare workers it takes
//   UNAVAILABLE          the coordinator was lost and is not back in time
//   and those of RankRunner
absl::Status RunWorker(const WorkerOptions& options);

// The same from given parts.
absl::Status RunWorker(const WorkerOptions& options, const WorkerParts& parts);

}  // namespace facet

#endif  // FACET_RPC_WORKER_WORKER_H_
