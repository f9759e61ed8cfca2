#include "runtime/comm/control_channel.h"

#include <errno.h>
#include <sys/socket.h>

#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"

namespace facet {
namespace {

constexpr size_t kFrameHeaderBytes = 3;
constexpr size_t kTextMax = 1024;

uint32_t Bit(ControlFrame frame) {
  return uint32_t{1} << static_cast<uint8_t>(frame);
}

}  // namespace

ControlChannel::ControlChannel(std::vector<UniqueFd> sockets,
                               std::vector<std::string> peer_names)
    : peers_(sockets.size()) {
  for (size_t i = 0; i < sockets.size(); ++i) {
    peers_[i].socket = std::move(sockets[i]);
    peers_[i].name = std::move(peer_names[i]);
  }
}

absl::Status ControlChannel::Poll() {
  // A peer that gave up says why, and that is worth more than seeing that those
  // around it are gone too.
  absl::Status gone;
  for (Peer& peer : peers_) {
    if (!peer.socket.valid() || peer.left) continue;
    const absl::Status status = PollPeer(peer);
    if (absl::IsUnavailable(status)) return status;
    if (!status.ok() && gone.ok()) gone = status;
  }
  if (!gone.ok()) return absl::UnavailableError(gone.message());
  return absl::OkStatus();
}

// UNAVAILABLE when the peer gave up, ABORTED when its connection broke.
absl::Status ControlChannel::PollPeer(Peer& peer) {
  char buffer[512];
  while (true) {
    const ssize_t n =
        recv(peer.socket.get(), buffer, sizeof(buffer), MSG_DONTWAIT);
    if (n > 0) {
      peer.input.append(buffer, n);
      FACET_RETURN_IF_ERROR(TakeFrames(peer));
      if (peer.left) return absl::OkStatus();
      continue;
    }
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
      return absl::OkStatus();
    }
    return absl::AbortedError(absl::StrCat(
        peer.name,
        " is gone: ", n == 0 ? "its process ended" : std::strerror(errno)));
  }
}

absl::Status ControlChannel::TakeFrames(Peer& peer) {
  while (peer.input.size() >= kFrameHeaderBytes) {
    const uint8_t type = peer.input[0];
    const size_t size = static_cast<uint8_t>(peer.input[1]) |
                        static_cast<uint8_t>(peer.input[2]) << 8;
    if (type < static_cast<uint8_t>(ControlFrame::kGoodbye) ||
        type > static_cast<uint8_t>(ControlFrame::kShmAttached) ||
        size > kTextMax) {
      return absl::AbortedError(
          absl::StrCat(peer.name, " sent a control frame of type ", int{type},
                       " and ", size, " bytes, which does not exist"));
    }
    if (peer.input.size() < kFrameHeaderBytes + size) break;
    const ControlFrame frame = static_cast<ControlFrame>(type);
    const std::string text = peer.input.substr(kFrameHeaderBytes, size);
    peer.input.erase(0, kFrameHeaderBytes + size);
    peer.seen_frames |= Bit(frame);
    if (frame == ControlFrame::kGaveUp) return absl::UnavailableError(text);
    if (frame == ControlFrame::kGoodbye) peer.left = true;
  }
  return absl::OkStatus();
}

absl::Status ControlChannel::Await(int peer, ControlFrame frame,
                                   Deadline deadline) {
  while (true) {
    FACET_RETURN_IF_ERROR(Poll());
    if ((peers_[peer].seen_frames & Bit(frame)) != 0) return absl::OkStatus();
    if (peers_[peer].left) {
      return absl::UnavailableError(
          absl::StrCat(peers_[peer].name, " left while the world formed"));
    }
    if (deadline.passed()) {
      return absl::DeadlineExceededError(absl::StrCat(
          peers_[peer].name, " did not answer while the world formed"));
    }
    std::vector<pollfd> polled;
    AppendPollFds(&polled);
    poll(polled.data(), polled.size(), deadline.PollMilliseconds());
  }
}

void ControlChannel::Send(int peer, ControlFrame frame,
                          absl::string_view text) {
  text = text.substr(0, kTextMax);
  std::string bytes;
  bytes.push_back(static_cast<char>(frame));
  bytes.push_back(static_cast<char>(text.size() & 0xff));
  bytes.push_back(static_cast<char>(text.size() >> 8));
  bytes.append(text.data(), text.size());
  std::lock_guard<std::mutex> lock(send_mutex_);
  // A peer that cannot be told will see the connection close.
  (void)!send(peers_[peer].socket.get(), bytes.data(), bytes.size(),
              MSG_NOSIGNAL | MSG_DONTWAIT);
}

void ControlChannel::SendToAll(ControlFrame frame, absl::string_view text) {
  for (size_t peer = 0; peer < peers_.size(); ++peer) {
    if (peers_[peer].socket.valid()) Send(static_cast<int>(peer), frame, text);
  }
}

void ControlChannel::SendFailure(int own_rank, const absl::Status& status) {
  SendToAll(
      ControlFrame::kGaveUp,
      absl::IsUnavailable(status)
          ? std::string(status.message())
          : absl::StrCat("rank ", own_rank, " gave up: ", status.message()));
}

void ControlChannel::AppendPollFds(std::vector<pollfd>* polled) const {
  for (const Peer& peer : peers_) {
    if (peer.socket.valid() && !peer.left) {
      polled->push_back({peer.socket.get(), POLLIN, 0});
    }
  }
}

}  // namespace facet
