#include "kernels/base/topology.h"

#include <hwloc.h>

#include <algorithm>
#include <memory>
#include <type_traits>

#include "kernels/base/thread_pool.h"

namespace facet {
namespace {

struct Destroy {
  void operator()(hwloc_topology_t topology) const {
    hwloc_topology_destroy(topology);
  }
};
using Topology =
    std::unique_ptr<std::remove_pointer_t<hwloc_topology_t>, Destroy>;

// Null where hwloc cannot tell. `machine` null: this one.
Topology Load(const char* machine) {
  hwloc_topology_t raw = nullptr;
  if (hwloc_topology_init(&raw) != 0) return nullptr;
  Topology topology(raw);
  // Nothing else is asked for; finding out about the rest takes longer.
  hwloc_topology_set_all_types_filter(raw, HWLOC_TYPE_FILTER_KEEP_NONE);
  for (hwloc_obj_type_t type :
       {HWLOC_OBJ_PACKAGE, HWLOC_OBJ_L3CACHE, HWLOC_OBJ_CORE}) {
    hwloc_topology_set_type_filter(raw, type, HWLOC_TYPE_FILTER_KEEP_ALL);
  }
  // What holds the cores of a NUMA node that is nothing else of these.
  hwloc_topology_set_type_filter(raw, HWLOC_OBJ_GROUP,
                                 HWLOC_TYPE_FILTER_KEEP_STRUCTURE);
  if (machine != nullptr && hwloc_topology_set_synthetic(raw, machine) != 0) {
    return nullptr;
  }
  if (hwloc_topology_load(raw) != 0) return nullptr;
  return topology;
}

// hwloc numbers its objects by depth first, so neighbours in the tree are
// neighbours in the list.
std::vector<int> FirstCpuOfEachCore(hwloc_topology_t topology,
                                    absl::Span<const int> allowed) {
  std::vector<int> cpus;
  hwloc_obj_t core = nullptr;
  while ((core = hwloc_get_next_obj_by_type(topology, HWLOC_OBJ_CORE, core)) !=
         nullptr) {
    unsigned cpu;
    hwloc_bitmap_foreach_begin(cpu, core->cpuset) {
      if (std::find(allowed.begin(), allowed.end(), static_cast<int>(cpu)) !=
          allowed.end()) {
        cpus.push_back(static_cast<int>(cpu));
        break;
      }
    }
    hwloc_bitmap_foreach_end();
  }
  return cpus;
}

}  // namespace

std::vector<int> CoreCpusOf(const std::string& machine,
                            absl::Span<const int> allowed) {
  const Topology topology = Load(machine.c_str());
  if (topology == nullptr) return {};
  return FirstCpuOfEachCore(topology.get(), allowed);
}

std::vector<int> CoreCpus() {
  const std::vector<int> available = AvailableCpus();
  const Topology topology = Load(nullptr);
  if (topology == nullptr) return available;
  const std::vector<int> cores = FirstCpuOfEachCore(topology.get(), available);
  return cores.empty() ? available : cores;
}

}  // namespace facet
