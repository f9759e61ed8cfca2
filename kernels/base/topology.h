// The cores of this machine and how near they are to each other, as hwloc sees
// them. Which of them a worker gets is not decided here.
#ifndef FACET_KERNELS_BASE_TOPOLOGY_H_
#define FACET_KERNELS_BASE_TOPOLOGY_H_

#include <string>
#include <vector>

#include "absl/types/span.h"

namespace facet {

// One CPU of each core that this process may use by its affinity mask and
// cgroup, cores that share a cache, a package or a NUMA node next to each
// other: any run of it is a good place for threads that work together, and what
// they touch first lies in memory near them. Second hardware threads of a core
// are left out: they bring neither bandwidth nor multiply-adds, and are there
// for what else a process does.
//
// Falls back to AvailableCpus() where hwloc knows nothing.
std::vector<int> CoreCpus();

// The same for a machine in hwloc's words, such as "numa:2 core:4 pu:2", of
// whose CPUs only `allowed` may be used; empty when it has none of them.
std::vector<int> CoreCpusOf(const std::string& machine,
                            absl::Span<const int> allowed);

}  // namespace facet

#endif  // FACET_KERNELS_BASE_TOPOLOGY_H_
