// The communicator of CPU workers: ranks on one machine exchange through shared
// memory without system calls in the common case, ranks on different machines
// through TCP.
#ifndef FACET_RUNTIME_COMM_HOST_COMMUNICATOR_H_
#define FACET_RUNTIME_COMM_HOST_COMMUNICATOR_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "runtime/comm/communicator.h"

namespace facet {

// Where one rank can be reached.
struct CommEndpoint {
  // Ranks with the same host_id share memory: see LocalHostId().
  std::string host_id;
  std::string address;  // "127.0.0.1:41234" of its CommListener
};

// A bound TCP port that peers connect to; made before the ranks are known.
class CommListener {
 public:
  // Listens on `host` (a numeric address) on a free port.
  static absl::StatusOr<std::unique_ptr<CommListener>> Create(
      const std::string& host);
  ~CommListener();

  std::string address() const;  // "host:port"
  int fd() const { return fd_; }

 private:
  CommListener(int fd, std::string host, int port);
  int fd_;
  std::string host_;
  int port_;
};

struct HostCommOptions {
  int rank = 0;
  std::vector<CommEndpoint> endpoints;  // by rank
  // Names the shared memory and authenticates TCP peers; the same on all ranks,
  // fresh for every world.
  std::string world_key;
  absl::Duration timeout = absl::Seconds(30);  // of every wait
  // Of the world's forming, where it is shorter.
  absl::Duration connect_timeout = absl::Seconds(60);
  // Of silence of a peer's machine, or of the network to it, that breaks a
  // connection. A slow peer is not silent: its kernel answers.
  absl::Duration dead_after = absl::Seconds(10);
  // Asked now and then while peers are missing: true gives the world up.
  std::function<bool()> give_up;
  // For tests: TCP even between ranks of one machine.
  bool force_tcp = false;
};

// Connects to all peers and returns once all of them are there, or fails after
// `connect_timeout`. The listener may be closed afterwards.
//
// Errors:
//   INVALID_ARGUMENT    an option is nonsense; names it
//   DEADLINE_EXCEEDED   names the ranks that did not come
//   CANCELLED           after give_up
//   PERMISSION_DENIED   a peer holds another world_key, or runs as another user
//                       on this machine
//   UNAVAILABLE         a peer died or gave up while the world formed
//   RESOURCE_EXHAUSTED  /dev/shm is too small
//   others              the system refused something; the message says what
absl::StatusOr<std::unique_ptr<Communicator>> MakeHostCommunicator(
    const HostCommOptions& options, CommListener* listener);

// Equal for two processes exactly when they can share memory: the machine's
// boot id, the identity of /dev/shm and the user.
std::string LocalHostId();

}  // namespace facet

#endif  // FACET_RUNTIME_COMM_HOST_COMMUNICATOR_H_
