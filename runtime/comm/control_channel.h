// What a rank says to its peers besides data: that it leaves in peace, that it
// gives up and why, and that its shared memory is ready. An open connection is
// also the sign of life: when a process dies, its kernel closes it.
//
// Frame: type (1 byte), length (2 bytes, little-endian), text.
#ifndef FACET_RUNTIME_COMM_CONTROL_CHANNEL_H_
#define FACET_RUNTIME_COMM_CONTROL_CHANNEL_H_

#include <poll.h>

#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "runtime/comm/deadline.h"
#include "runtime/comm/unique_fd.h"

namespace facet {

enum class ControlFrame : uint8_t {
  kGoodbye = 1,      // the rank is done; no error
  kGaveUp = 2,       // text: what went wrong, for everybody's error message
  kShmReady = 3,     // the first rank of a host has made the memory
  kShmAttached = 4,  // its peer has opened it
};

// One thread calls, except for the sending functions.
class ControlChannel {
 public:
  // Both by rank; the own socket is empty.
  ControlChannel(std::vector<UniqueFd> sockets,
                 std::vector<std::string> peer_names);

  // Reads what has arrived, without waiting.
  //
  // Errors:
  //   UNAVAILABLE  a peer died or gave up
  absl::Status Poll();

  // The peer said goodbye: what it sent before still counts, but nothing more
  // will come.
  bool left(int peer) const { return peers_[peer].left; }

  // Waits for `frame` from `peer`.
  //
  // Errors:
  //   UNAVAILABLE        a peer died or gave up, or this one left
  //   DEADLINE_EXCEEDED
  absl::Status Await(int peer, ControlFrame frame, Deadline deadline);

  // Sending: best effort, without waiting, from any thread.
  void Send(int peer, ControlFrame frame, absl::string_view text = "");
  void SendToAll(ControlFrame frame, absl::string_view text = "");

  // Tells all why this rank gives up. What it was told by others it passes on
  // as it is, so that everybody names the same cause.
  void SendFailure(int own_rank, const absl::Status& status);

  // Adds every connection that may still say something.
  void AppendPollFds(std::vector<pollfd>* polled) const;

 private:
  struct Peer {
    UniqueFd socket;
    std::string name;
    std::string input;  // an incomplete frame
    bool left = false;
    uint32_t seen_frames = 0;  // a bit for each ControlFrame
  };

  absl::Status PollPeer(Peer& peer);
  absl::Status TakeFrames(Peer& peer);

  std::mutex send_mutex_;
  std::vector<Peer> peers_;
};

}  // namespace facet

#endif  // FACET_RUNTIME_COMM_CONTROL_CHANNEL_H_
