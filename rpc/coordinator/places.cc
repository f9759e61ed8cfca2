#include "rpc/coordinator/places.h"

#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "rpc/control/listen_address.h"

namespace facet {
namespace {

absl::Status CheckReachable(const std::vector<WorkerRegistration>& workers) {
  const bool one_machine = std::all_of(
      workers.begin(), workers.end(), [&](const WorkerRegistration& worker) {
        return worker.endpoint.host_id == workers[0].endpoint.host_id;
      });
  if (one_machine) return absl::OkStatus();
  for (const WorkerRegistration& worker : workers) {
    const auto address = ParseHostPort(worker.endpoint.address);
    if (!address.ok() || !IsLoopback(address->host)) continue;
    return absl::FailedPreconditionError(
        absl::StrCat("worker on ", worker.hostname, " can only be reached at ",
                     worker.endpoint.address,
                     ", which workers on other machines cannot; start it with "
                     "--coordinator at an address of its network"));
  }
  return absl::OkStatus();
}

// Indices of `workers`, machines together, in the order they first appear.
std::vector<int> ByMachine(const std::vector<WorkerRegistration>& workers) {
  const int count = static_cast<int>(workers.size());
  std::vector<int> order;
  std::vector<bool> placed(count, false);
  for (int first = 0; first < count; ++first) {
    if (placed[first]) continue;
    for (int i = first; i < count; ++i) {
      if (workers[i].endpoint.host_id == workers[first].endpoint.host_id) {
        placed[i] = true;
        order.push_back(i);
      }
    }
  }
  return order;
}

// `order` with every worker that has the weights of a rank at that rank, and
// the others in the places that are left.
std::vector<int> ByWeights(const std::vector<WorkerRegistration>& workers,
                           const std::vector<int>& order) {
  const int count = static_cast<int>(workers.size());
  std::vector<int> ranks(count, -1);
  std::vector<bool> placed(count, false);
  for (int i : order) {
    const int held = workers[i].held_rank;
    if (held < 0 || held >= count || ranks[held] >= 0) continue;
    ranks[held] = i;
    placed[i] = true;
  }
  auto next = order.begin();
  for (int& rank : ranks) {
    if (rank >= 0) continue;
    while (placed[*next]) ++next;
    rank = *next++;
  }
  return ranks;
}

}  // namespace

absl::StatusOr<std::vector<WorkerAssignment>> AssignPlaces(
    const std::vector<WorkerRegistration>& workers,
    const WorkerAssignment& common, int threads_per_worker) {
  FACET_RETURN_IF_ERROR(CheckReachable(workers));
  const std::vector<int> order = ByWeights(workers, ByMachine(workers));
  std::vector<WorkerAssignment> places(workers.size(), common);
  std::vector<CommEndpoint> endpoints;
  for (int i : order) endpoints.push_back(workers[i].endpoint);
  for (int rank = 0; rank < static_cast<int>(order.size()); ++rank) {
    places[order[rank]].rank = rank;
    places[order[rank]].endpoints = endpoints;
  }

  for (size_t i = 0; i < workers.size(); ++i) {
    // Those that may run where worker i may, itself included.
    int sharing = 0;
    int before = 0;  // of lower rank
    for (size_t j = 0; j < workers.size(); ++j) {
      if (workers[j].endpoint.host_id != workers[i].endpoint.host_id ||
          workers[j].cpus != workers[i].cpus) {
        continue;
      }
      ++sharing;
      if (places[j].rank < places[i].rank) ++before;
    }
    const int cpus = static_cast<int>(workers[i].cpus.size());
    const int threads = threads_per_worker > 0 ? threads_per_worker
                                               : std::max(1, cpus / sharing);
    places[i].threads = threads;
    places[i].cpus.clear();
    if (sharing > 1 && threads * sharing <= cpus) {
      const auto first = workers[i].cpus.begin() + before * threads;
      places[i].cpus.assign(first, first + threads);
    }
  }
  return places;
}

}  // namespace facet
