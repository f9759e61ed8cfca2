// The worlds that a cluster forms, one after the other, as whoever runs steps
// sees them.
#ifndef FACET_RPC_CONTROL_WORLD_SOURCE_H_
#define FACET_RPC_CONTROL_WORLD_SOURCE_H_

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "rpc/control/membership.h"

namespace facet {

// Workers that were given their places together and are ready.
struct World {
  uint64_t epoch = 0;  // of a later world: a higher one
  std::shared_ptr<Membership> members;
};

class WorldSource {
 public:
  virtual ~WorldSource() = default;

  // The world that runs. From any thread; does not wait.
  //
  // Errors:
  //   UNAVAILABLE          none does now; the message says what is missing
  //   FAILED_PRECONDITION  none ever will again
  virtual absl::StatusOr<World> world() const = 0;
};

}  // namespace facet

#endif  // FACET_RPC_CONTROL_WORLD_SOURCE_H_
