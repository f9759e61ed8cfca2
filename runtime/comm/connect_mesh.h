// Gathers a world: one authenticated connection to every peer for control, and
// one more for data to each peer that shares no memory. The higher rank
// connects, the lower one accepts. Strangers at the listener are turned away
// one by one and hold up nobody.
#ifndef FACET_RUNTIME_COMM_CONNECT_MESH_H_
#define FACET_RUNTIME_COMM_CONNECT_MESH_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "runtime/comm/deadline.h"
#include "runtime/comm/unique_fd.h"

namespace facet {

struct MeshOptions {
  int rank = 0;
  std::vector<std::string> addresses;  // by rank
  std::vector<bool> needs_data;        // by rank
  std::string world_key;
  Deadline deadline;
  // Connections through which nothing comes for so long break.
  absl::Duration dead_after = absl::Seconds(10);
  // Asked about twenty times a second: true ends the gathering. Null: never.
  std::function<bool()> give_up;
};

// By rank; the own entries are empty, `data` also where it is not needed.
struct Mesh {
  std::vector<UniqueFd> control;
  std::vector<UniqueFd> data;
};

// Errors:
//   INVALID_ARGUMENT   an address is malformed
//   PERMISSION_DENIED  a peer holds another world key
//   DEADLINE_EXCEEDED  names the ranks that did not come, and why if known
//   CANCELLED          after give_up
absl::StatusOr<Mesh> ConnectMesh(const MeshOptions& options, int listener_fd);

}  // namespace facet

#endif  // FACET_RUNTIME_COMM_CONNECT_MESH_H_
