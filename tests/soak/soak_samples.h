// What is looked at every few seconds of a soak run, and whether it stays flat.
#ifndef FACET_TESTS_SOAK_SOAK_SAMPLES_H_
#define FACET_TESTS_SOAK_SOAK_SAMPLES_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"

namespace facet {

// Bytes of each process, the coordinator first.
using MemorySample = std::vector<int64_t>;

// OK when each process holds on average no more than `tolerance` bytes more in
// the last third of the samples than in the second.
//
// Errors: INTERNAL naming the process and its means; FAILED_PRECONDITION for
// fewer than three samples or a process that comes or goes.
absl::Status CheckFlat(const std::vector<MemorySample>& samples,
                       int64_t tolerance);

// "coordinator 12.3 MB (+0.1), worker 0 ..." : the mean of the last third, and
// how much more than the second that is.
std::string DescribeMemory(const std::vector<MemorySample>& samples);

}  // namespace facet

#endif  // FACET_TESTS_SOAK_SOAK_SAMPLES_H_
