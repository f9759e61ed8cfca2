// Who may come in: API keys from a file, which may change while the server
// runs, and their limits. Both doors, HTTP and gRPC, ask the same keeper, so a
// key's limits hold across them.
#ifndef FACET_RPC_ACCESS_DOOR_KEEPER_H_
#define FACET_RPC_ACCESS_DOOR_KEEPER_H_

#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace facet {

// A request that was let in; it counts as running as long as this lives.
class DoorPass {
 public:
  virtual ~DoorPass() = default;
  virtual const std::string& key_name() const = 0;
};

struct DoorKeeperOptions {
  absl::Duration reload_interval = absl::Seconds(1);
  // Hears of each reload: OK, or why the keys stay as they were. Runs on a
  // thread of the keeper.
  std::function<void(const absl::Status&)> on_reload;
};

// Safe from several threads.
class DoorKeeper {
 public:
  // Reads `path` (see ApiKeys). Errors: those of ReadFiles() and
  // ApiKeys::Parse(), with the path.
  static absl::StatusOr<std::unique_ptr<DoorKeeper>> Open(
      const std::string& path, const DoorKeeperOptions& options);
  // Passes may outlive the keeper.
  virtual ~DoorKeeper() = default;

  // `authorization` is what a request has under that name, "Bearer KEY"; empty:
  // nothing.
  //
  // Errors: UNAUTHENTICATED without a known key, RESOURCE_EXHAUSTED where its
  // limits are reached, with the time to wait.
  virtual absl::StatusOr<std::shared_ptr<const DoorPass>> Admit(
      absl::string_view authorization, absl::Time now) = 0;

  // Whether `authorization` has a known key; counts against no limit.
  virtual absl::Status Check(absl::string_view authorization) = 0;
};

}  // namespace facet

#endif  // FACET_RPC_ACCESS_DOOR_KEEPER_H_
