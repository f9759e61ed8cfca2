// A soak run: users of all kinds against one server for some time, samples of
// what the server holds, and at the end whether everything was as it should be.
#ifndef FACET_TESTS_SOAK_SOAK_RUN_H_
#define FACET_TESTS_SOAK_SOAK_RUN_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "tests/soak/served_model.h"

namespace facet {

struct SoakOptions {
  std::string facet;  // the executable, for users that vanish
  absl::Duration duration = absl::Minutes(30);
  absl::Duration sample_every = absl::Seconds(5);
  uint64_t seed = 1;
  int users = 24;
  int64_t memory_tolerance = 4'000'000;  // bytes, of each process
};

// Runs it and prints how it goes. The conditions:
//   - every request ends as its kind may end, with what it asked for
//   - requests that are repeated get the same tokens every time
//   - the request of a reader that never reads ends, and others are answered
//     meanwhile
//   - memory is flat (CheckFlat())
//   - once the users have gone, nothing runs or waits and no page is in use
//
// Errors: INTERNAL naming the first condition that does not hold.
absl::Status RunSoak(const SoakOptions& options, const ServedModel& server);

}  // namespace facet

#endif  // FACET_TESTS_SOAK_SOAK_RUN_H_
