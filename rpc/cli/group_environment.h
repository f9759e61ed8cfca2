// What LeaderWorkerSet tells each pod of a group: LWS_LEADER_ADDRESS,
// LWS_GROUP_SIZE and LWS_WORKER_INDEX.
#ifndef FACET_RPC_CLI_GROUP_ENVIRONMENT_H_
#define FACET_RPC_CLI_GROUP_ENVIRONMENT_H_

#include <string>

#include "absl/status/statusor.h"

namespace facet {

struct GroupEnvironment {
  std::string leader;    // its host name; it is the coordinator's too
  int size = 1;          // pods of the group, the leader's included
  int worker_index = 0;  // of this pod, 0 for the leader's
};

// Errors: NOT_FOUND where this is no pod of a group; INVALID_ARGUMENT naming
// the variable for a value that makes no sense.
absl::StatusOr<GroupEnvironment> ReadGroupEnvironment();

}  // namespace facet

#endif  // FACET_RPC_CLI_GROUP_ENVIRONMENT_H_
