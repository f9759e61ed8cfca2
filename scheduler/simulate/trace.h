// A workload from a file: JSON lines, one object a line, or CSV with a header.
//
//   {"arrival_s": 0.5, "prompt_tokens": 200, "output_tokens": 80}
//   {"failure_s": 12, "recovery_s": 4}
//
//   arrival_s,prompt_tokens,output_tokens,prefix,prefix_tokens
//   0.5,200,80,system,128
//
// Fields of a request are those of SimRequest: arrival_s, prompt_tokens and
// output_tokens are wanted, max_tokens, priority, n, prefix, prefix_tokens,
// conversation, think_s, cancel_after_s and deadline_s may be left out (an
// empty cell of a CSV is left out). A line with failure_s is a failure, with
// recovery_s. Empty lines are passed over.
#ifndef FACET_SCHEDULER_SIMULATE_TRACE_H_
#define FACET_SCHEDULER_SIMULATE_TRACE_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "scheduler/simulate/workload.h"

namespace facet {

// Requests and failures in order of time; equal times keep the file's order.
//
// Errors: INVALID_ARGUMENT naming line, field, and what is legal.
absl::StatusOr<Workload> ParseTrace(absl::string_view text);

// The same from a file; errors name it.
absl::StatusOr<Workload> ReadTrace(const std::string& path);

}  // namespace facet

#endif  // FACET_SCHEDULER_SIMULATE_TRACE_H_
