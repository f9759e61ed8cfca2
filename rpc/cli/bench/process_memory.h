// What processes of this machine hold in memory, by the kernel's own account.
#ifndef FACET_RPC_CLI_BENCH_PROCESS_MEMORY_H_
#define FACET_RPC_CLI_BENCH_PROCESS_MEMORY_H_

#include <sys/types.h>
#include <unistd.h>

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace facet {

struct ProcessMemory {
  // Resident, pages that processes share divided between them; so the sum over
  // processes counts every page once.
  int64_t pss_bytes = 0;
  int64_t anonymous_bytes = 0;  // not backed by a file
};

// From the text of a /proc/PID/smaps_rollup.
//
// Errors: INVALID_ARGUMENT when a field is missing.
absl::StatusOr<ProcessMemory> ParseSmapsRollup(absl::string_view text);

// Errors: NOT_FOUND when the process has gone or its memory may not be seen.
absl::StatusOr<ProcessMemory> ReadProcessMemory(pid_t pid);

// Processes that `parent` has started and that still run.
std::vector<pid_t> ChildProcesses(pid_t parent = getpid());

}  // namespace facet

#endif  // FACET_RPC_CLI_BENCH_PROCESS_MEMORY_H_
