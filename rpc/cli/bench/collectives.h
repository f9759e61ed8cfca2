// How long ranks of one machine take to sum one row, against what shared memory
// allows.
#ifndef FACET_RPC_CLI_BENCH_COLLECTIVES_H_
#define FACET_RPC_CLI_BENCH_COLLECTIVES_H_

#include <cstdint>

#include "absl/status/statusor.h"

namespace facet {

struct AllReduceTimes {
  double p50_us = 0;
  double p99_us = 0;
};

// AllReduceSum() of `floats` values between two ranks, each a thread with a
// host communicator of its own over shared memory.
//
// Errors: those of the communicator.
absl::StatusOr<AllReduceTimes> TimeAllReduce(int64_t floats, int iterations);

// The same sum done by two threads that spin on a flag in shared memory and
// know nothing of peers that fail: the limit.
AllReduceTimes TimeBareExchange(int64_t floats, int iterations);

}  // namespace facet

#endif  // FACET_RPC_CLI_BENCH_COLLECTIVES_H_
