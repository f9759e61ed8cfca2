// Users on a server whose workers fall again and again: every answer has to be
// the one of a server that nothing befell, and in the end nothing may be left.
#ifndef FACET_TESTS_CHAOS_CHAOS_RUN_H_
#define FACET_TESTS_CHAOS_CHAOS_RUN_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "tests/chaos/chaos_requests.h"
#include "tests/chaos/machines.h"
#include "tests/chaos/worker_crew.h"
#include "tests/soak/served_model.h"

namespace facet {

struct ChaosOptions {
  int faults = 10;
  int users = 6;
  uint64_t seed = 1;
  // How long a worker stands still that goes on, and a network is bad.
  absl::Duration pause = absl::Seconds(1);
  // After a fault, up to so long until the next; some come at once.
  absl::Duration most_between = absl::Seconds(1);
  // A cut that nobody misses is mended after so long.
  absl::Duration longest_cut = absl::Seconds(30);
  // No token for so long is a hang.
  absl::Duration patience = absl::Minutes(3);
  // The coordinator falls too, and its disk is full at times. Requests then
  // have keys, and users ask again until they are answered.
  bool coordinator = false;
  // Runs without kinds of faults that this system forbids.
  bool skip_forbidden = false;
  // Of workers on machines of their own; null: they are the server's children.
  Machines* machines = nullptr;
  const WorkerCrew* crew = nullptr;
};

// `expected[i]` is the outcome of `requests[i]`. Prints a line for each fault
// and a summary.
//
// Errors: INTERNAL saying which answer differs, was lost or hung, or what is
// left on the server.
absl::Status RunChaos(const ChaosOptions& options, ServedModel& server,
                      const std::vector<TextRequest>& requests,
                      const std::vector<ChaosOutcome>& expected);

}  // namespace facet

#endif  // FACET_TESTS_CHAOS_CHAOS_RUN_H_
