// What the kernel says of this machine.
#ifndef FACET_RPC_CLI_BENCH_MACHINE_INFO_H_
#define FACET_RPC_CLI_BENCH_MACHINE_INFO_H_

#include <cstdint>
#include <string>

namespace facet {

// "unknown" where it is not said.
std::string CpuName();

// Of the largest cache that the first CPU uses; 0 where it is not said. (The C
// library's own answer counts shared caches several times.)
int64_t LargestCacheBytes();

// Seconds since the machine started in which some thread that could run waited
// for a CPU; below 0 where it is not said.
double CpuPressureSeconds();

}  // namespace facet

#endif  // FACET_RPC_CLI_BENCH_MACHINE_INFO_H_
