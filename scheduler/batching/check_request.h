// Which requests can be served at all.
#ifndef FACET_SCHEDULER_BATCHING_CHECK_REQUEST_H_
#define FACET_SCHEDULER_BATCHING_CHECK_REQUEST_H_

#include <cstdint>

#include "absl/status/status.h"
#include "scheduler/batching/request.h"

namespace facet {

struct RequestLimits {
  int64_t vocab_size = 0;
  int64_t max_positions = 0;   // the model's context
  int64_t most_positions = 0;  // what context and KV memory hold
};

// Errors: INVALID_ARGUMENT naming the field, what was found and what is legal.
absl::Status CheckRequest(const SequenceRequest& request,
                          const RequestLimits& limits);

}  // namespace facet

#endif  // FACET_SCHEDULER_BATCHING_CHECK_REQUEST_H_
