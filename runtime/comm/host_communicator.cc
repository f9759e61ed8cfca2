#include "runtime/comm/host_communicator.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "runtime/comm/connect_mesh.h"
#include "runtime/comm/control_channel.h"
#include "runtime/comm/group_communicator.h"
#include "runtime/comm/shm_link.h"
#include "runtime/comm/shm_region.h"
#include "runtime/comm/tcp_link.h"
#include "runtime/comm/transport.h"

namespace facet {
namespace {

absl::Status Validate(const HostCommOptions& options,
                      const CommListener* listener) {
  const int size = static_cast<int>(options.endpoints.size());
  if (options.rank < 0 || options.rank >= size) {
    return absl::InvalidArgumentError(absl::StrCat(
        "rank ", options.rank, " is not among the ", size, " endpoints"));
  }
  if (options.world_key.empty()) {
    return absl::InvalidArgumentError(
        "world_key is empty: every world needs a fresh one");
  }
  if (listener == nullptr && size > 1) {
    return absl::InvalidArgumentError(
        "a world of several ranks needs a "
        "listener");
  }
  return absl::OkStatus();
}

// The ranks that share memory with this one, itself among them.
std::vector<int> RanksOnThisHost(const HostCommOptions& options) {
  std::vector<int> ranks;
  const std::string& own = options.endpoints[options.rank].host_id;
  for (int rank = 0; rank < static_cast<int>(options.endpoints.size());
       ++rank) {
    if (rank == options.rank ||
        (!options.force_tcp && options.endpoints[rank].host_id == own)) {
      ranks.push_back(rank);
    }
  }
  return ranks;
}

// The first rank of the host makes the memory, the others open it, and once
// they have, its name goes.
absl::StatusOr<std::unique_ptr<ShmRegion>> ShareRegion(
    const HostCommOptions& options, const std::vector<int>& on_host,
    Deadline deadline, ControlChannel& control) {
  const int ranks = static_cast<int>(on_host.size());
  const int first = on_host.front();
  const std::string name = ShmName(options.world_key, first);
  if (options.rank != first) {
    FACET_RETURN_IF_ERROR(
        control.Await(first, ControlFrame::kShmReady, deadline));
    FACET_ASSIGN_OR_RETURN(std::unique_ptr<ShmRegion> region,
                           ShmRegion::Open(name, ranks));
    control.Send(first, ControlFrame::kShmAttached);
    return region;
  }
  FACET_ASSIGN_OR_RETURN(std::unique_ptr<ShmRegion> region,
                         ShmRegion::Create(name, ranks));
  for (int rank : on_host) {
    if (rank != first) control.Send(rank, ControlFrame::kShmReady);
  }
  for (int rank : on_host) {
    if (rank == first) continue;
    FACET_RETURN_IF_ERROR(
        control.Await(rank, ControlFrame::kShmAttached, deadline));
  }
  region->Unlink();
  return region;
}

int IndexOf(const std::vector<int>& ranks, int rank) {
  return static_cast<int>(std::find(ranks.begin(), ranks.end(), rank) -
                          ranks.begin());
}

}  // namespace

absl::StatusOr<std::unique_ptr<Communicator>> MakeHostCommunicator(
    const HostCommOptions& options, CommListener* listener) {
  FACET_RETURN_IF_ERROR(Validate(options, listener));
  const int size = static_cast<int>(options.endpoints.size());
  if (size == 1) return MakeInProcessCommunicator();

  const std::vector<int> on_host = RanksOnThisHost(options);
  MeshOptions mesh_options;
  mesh_options.rank = options.rank;
  mesh_options.world_key = options.world_key;
  mesh_options.deadline =
      Deadline::After(std::min(options.timeout, options.connect_timeout));
  mesh_options.dead_after = options.dead_after;
  mesh_options.give_up = options.give_up;
  TransportParts parts;
  for (int rank = 0; rank < size; ++rank) {
    const std::string& address = options.endpoints[rank].address;
    mesh_options.addresses.push_back(address);
    mesh_options.needs_data.push_back(IndexOf(on_host, rank) ==
                                      static_cast<int>(on_host.size()));
    parts.peer_names.push_back(absl::StrCat("rank ", rank, " at ", address));
  }
  FACET_ASSIGN_OR_RETURN(Mesh mesh, ConnectMesh(mesh_options, listener->fd()));
  parts.rank = options.rank;
  parts.timeout = options.timeout;
  parts.control = std::make_unique<ControlChannel>(std::move(mesh.control),
                                                   parts.peer_names);
  const int own = IndexOf(on_host, options.rank);
  if (on_host.size() > 1) {
    absl::StatusOr<std::unique_ptr<ShmRegion>> region =
        ShareRegion(options, on_host, mesh_options.deadline, *parts.control);
    if (!region.ok()) {
      parts.control->SendFailure(options.rank, region.status());
      return region.status();
    }
    parts.region = *std::move(region);
    parts.doorbell = parts.region->doorbell(own);
  }
  parts.links.resize(size);
  for (int rank = 0; rank < size; ++rank) {
    if (rank == options.rank) continue;
    if (mesh_options.needs_data[rank]) {
      parts.links[rank] = std::make_unique<TcpLink>(std::move(mesh.data[rank]),
                                                    parts.peer_names[rank]);
      continue;
    }
    const int peer = IndexOf(on_host, rank);
    parts.links[rank] = std::make_unique<ShmLink>(
        parts.region->writer(own, peer), parts.region->reader(peer, own),
        parts.region->doorbell(peer), parts.peer_names[rank]);
  }
  FACET_ASSIGN_OR_RETURN(std::shared_ptr<Transport> transport,
                         Transport::Create(std::move(parts)));
  std::vector<int> world(size);
  std::iota(world.begin(), world.end(), 0);
  return std::make_unique<GroupCommunicator>(std::move(transport),
                                             std::move(world));
}

}  // namespace facet
