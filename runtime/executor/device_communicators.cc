#include "runtime/executor/device_communicators.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "kernels/base/status_macros.h"
#include "runtime/comm/staged_communicator.h"

namespace facet {
namespace {

// How a rank stands with NCCL.
struct Standing {
  bool could = false;  // its device knows NCCL
  bool has = false;
  char host[60] = {};
  char problem[192] = {};
};

absl::Span<uint8_t> Bytes(Standing* standings, size_t count) {
  return {reinterpret_cast<uint8_t*>(standings), count * sizeof(Standing)};
}

// Leaves a zero at the end.
template <size_t kSize>
void Put(const std::string& text, char (&to)[kSize]) {
  std::strncpy(to, text.c_str(), kSize - 1);
}

std::string HostName() {
  char name[256] = {};
  return gethostname(name, sizeof(name) - 1) == 0 ? name : "?";
}

// The library where this rank has it.
const NcclApi* FindNccl(const Device& device, const ConnectOptions& options,
                        Standing* own) {
  Put(options.host_name.empty() ? HostName() : options.host_name, own->host);
  own->could = device.speaks_nccl();
  if (!own->could) {
    Put("its device knows no NCCL", own->problem);
    return nullptr;
  }
  const absl::StatusOr<const NcclApi*> api = LoadNccl();
  own->has = api.ok();
  if (api.ok()) return *api;
  Put(std::string(api.status().message()), own->problem);
  return nullptr;
}

// Ranks with the same problem in one clause; empty where all have NCCL, or
// none could.
std::string Missing(const std::vector<Standing>& all) {
  std::map<std::string, std::vector<std::string>> ranks_of;
  bool could = false;
  for (size_t r = 0; r < all.size(); ++r) {
    could = could || all[r].could;
    if (all[r].has) continue;
    ranks_of[all[r].problem].push_back(absl::StrCat(r, " (", all[r].host, ")"));
  }
  if (!could || ranks_of.empty()) return "";
  std::string text;
  for (const auto& [problem, ranks] : ranks_of) {
    absl::StrAppend(&text, text.empty() ? "" : "; ",
                    ranks.size() == 1 ? "rank " : "ranks ",
                    absl::StrJoin(ranks, ", "), ": ", problem);
  }
  return absl::StrCat(
      "messages between GPUs go through the hosts' memory, many times slower, "
      "for want of NCCL on ",
      text, ". Install NCCL 2.19 or later, such as the package libnccl2, or ",
      "set FACET_NCCL to its libnccl.so.2, for every worker");
}

// FACET_NCCL_GRAPHS=0 on any rank keeps messages out of graphs.
bool SwitchedOff() {
  const char* value = std::getenv("FACET_NCCL_GRAPHS");
  return value != nullptr && std::string(value) == "0";
}

}  // namespace

absl::StatusOr<DeviceCommunicators> ConnectDevices(
    Communicator* world, Communicator* tp, Device* device, Backend* backend,
    const ConnectOptions& connect_options) {
  DeviceCommunicators made;
  made.world = MakeStagedCommunicator(world, backend);
  made.tp = MakeStagedCommunicator(tp, backend);
  if (world->size() == 1) return made;
  NcclOptions options;
  Standing own;
  options.api = FindNccl(*device, connect_options, &own);
  std::vector<Standing> all(world->size());
  FACET_RETURN_IF_ERROR(
      world->AllGather(Bytes(&own, 1), Bytes(all.data(), all.size())));
  const bool nccl = std::all_of(all.begin(), all.end(),
                                [](const Standing& rank) { return rank.has; });
  if (!nccl) {
    const std::string missing = Missing(all);
    if (world->rank() != 0 || missing.empty()) return made;
    if (connect_options.log != nullptr) {
      connect_options.log(missing);
    } else {
      std::fprintf(stderr, "%s\n", missing.c_str());
    }
    return made;
  }
  options.device = device;
  options.backend = backend;
  options.most_floats = connect_options.most_floats;
  options.nccl_sums = connect_options.fast;
  options.host_name = connect_options.host_name;
  options.log = connect_options.log;
  static std::atomic<bool> graphs_failed = SwitchedOff();
  options.graphs_failed = &graphs_failed;
  const auto connect = [&](Communicator* host,
                           std::unique_ptr<Communicator>* to) -> absl::Status {
    options.host = host;
    FACET_ASSIGN_OR_RETURN(std::unique_ptr<NcclCommunicator> communicator,
                           MakeNcclCommunicator(options));
    made.nccl.push_back(communicator.get());
    *to = std::move(communicator);
    return absl::OkStatus();
  };
  // Sums of a step are there, and one communicator at most may be in graphs.
  options.in_graphs = true;
  if (tp->size() > 1) FACET_RETURN_IF_ERROR(connect(tp, &made.tp));
  options.in_graphs = false;
  // Stages send and receive in the world of all ranks.
  if (world->size() > tp->size()) {
    FACET_RETURN_IF_ERROR(connect(world, &made.world));
  }
  return made;
}

absl::Status DeviceCommunicators::status() const {
  for (const NcclCommunicator* communicator : nccl) {
    FACET_RETURN_IF_ERROR(communicator->status());
  }
  return absl::OkStatus();
}

}  // namespace facet
