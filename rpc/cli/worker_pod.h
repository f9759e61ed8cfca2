// The workers of one pod: a process each, started again when it fails, told to
// leave only after the coordinator had its time to finish what runs.
#ifndef FACET_RPC_CLI_WORKER_POD_H_
#define FACET_RPC_CLI_WORKER_POD_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace facet {

struct WorkerPodOptions {
  int workers = 1;
  std::string executable = "/proc/self/exe";
  // Of each worker. Where `device` is "cuda", worker i gets --device=cuda:i.
  std::vector<std::string> worker_argv;
  std::string device = "cpu";
  std::string health = "off";  // HOST:PORT of a HealthPort
  // After SIGTERM, how long the workers may go on for a coordinator that
  // finishes what runs; it tells them to leave when it is done.
  absl::Duration grace = absl::ZeroDuration();
  // After that, for a step to end.
  absl::Duration leave = absl::Seconds(10);
  absl::Duration restart_after = absl::Seconds(1);
  // So many failures within `failure_window` end the pod: what starts it can
  // see that it does not work.
  int most_failures = 5;
  absl::Duration failure_window = absl::Minutes(10);
};

// Returns after SIGTERM or SIGINT, when all workers are gone. Blocks both
// signals in the calling thread, so call it before any other exists.
//
// Errors: those of HealthPort::Start() and ChildProcess::Start();
// ABORTED when workers fail again and again.
absl::Status RunWorkerPod(const WorkerPodOptions& options);

}  // namespace facet

#endif  // FACET_RPC_CLI_WORKER_POD_H_
