#include "runtime/comm/transport.h"

#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "kernels/base/check.h"
#include "kernels/base/status_macros.h"
#include "runtime/comm/deadline.h"

namespace facet {
namespace {

// How soon a sleeper in shared memory notices that a peer has died.
constexpr absl::Duration kLifeCheckInterval = absl::Milliseconds(20);
// How long a sleeper on sockets leaves shared memory unwatched.
constexpr absl::Duration kMixedSleep = absl::Microseconds(250);

// The peers of all unfinished messages, each once.
std::vector<int> UnfinishedPeers(absl::Span<const Outgoing> outgoing,
                                 absl::Span<const Incoming> incoming) {
  std::vector<int> peers;
  for (const Outgoing& message : outgoing) {
    if (!message.complete()) peers.push_back(message.peer);
  }
  for (const Incoming& message : incoming) {
    if (!message.complete()) peers.push_back(message.peer);
  }
  std::sort(peers.begin(), peers.end());
  peers.erase(std::unique(peers.begin(), peers.end()), peers.end());
  return peers;
}

bool AllComplete(absl::Span<const Outgoing> outgoing,
                 absl::Span<const Incoming> incoming) {
  for (const Outgoing& message : outgoing) {
    if (!message.complete()) return false;
  }
  for (const Incoming& message : incoming) {
    if (!message.complete()) return false;
  }
  return true;
}

}  // namespace

absl::StatusOr<std::shared_ptr<Transport>> Transport::Create(
    TransportParts parts) {
  std::shared_ptr<Transport> transport(new Transport(std::move(parts)));
  if (!transport->wake_fd_.valid()) {
    return absl::InternalError(absl::StrCat("eventfd: ", std::strerror(errno)));
  }
  return transport;
}

Transport::Transport(TransportParts parts)
    : parts_(std::move(parts)), wake_fd_(eventfd(0, EFD_CLOEXEC)) {
  for (const auto& link : parts_.links) {
    if (link != nullptr && link->fd() >= 0) only_shm_ = false;
  }
}

Transport::~Transport() {
  if (!failed_.load()) parts_.control->SendToAll(ControlFrame::kGoodbye);
}

absl::Status Transport::Exchange(absl::Span<Outgoing> outgoing,
                                 absl::Span<Incoming> incoming) {
  if (failed_.load(std::memory_order_acquire)) return failure();
  const absl::Status status = TryExchange(outgoing, incoming);
  NoteWait(-1);
  if (!status.ok()) return Fail(status);
  return status;
}

absl::Status Transport::TryExchange(absl::Span<Outgoing> outgoing,
                                    absl::Span<Incoming> incoming) {
  bool looking = false;  // again, for what is about to come
  bool has_slept = false;
  Deadline deadline;   // set before the first sleep
  bool armed = false;  // the look at hand may be followed by sleep
  bool peer_left = false;
  uint32_t ticket = 0;
  while (true) {
    const absl::StatusOr<bool> moved = Advance(outgoing, incoming);
    if (!moved.ok()) {
      // Where a connection broke, the peer may have told why.
      const absl::Status told = parts_.control->Poll();
      return absl::IsUnavailable(moved.status()) && !told.ok() ? told
                                                               : moved.status();
    }
    if (AllComplete(outgoing, incoming)) {
      if (armed && parts_.doorbell != nullptr) parts_.doorbell->Disarm();
      if (looking) spinner_.End(true);
      return absl::OkStatus();
    }
    if (failed_.load(std::memory_order_acquire)) return failure();
    if (*moved) {
      if (armed && parts_.doorbell != nullptr) parts_.doorbell->Disarm();
      if (looking) spinner_.End(true);
      if (has_slept) {
        late_moves_.fetch_add(1, std::memory_order_relaxed);
        NoteWait(-1);
      }
      looking = has_slept = armed = peer_left = false;
      continue;
    }
    if (!armed) {
      if (!looking) spinner_.Begin();
      looking = spinner_.Spin();
      if (looking) continue;
      spinner_.End(false);
      if (parts_.doorbell != nullptr) ticket = parts_.doorbell->Arm();
      armed = true;
      continue;
    }
    // Who left may have written its last bytes just before: looked once more.
    if (peer_left) return CheckNobodyLeft(outgoing, incoming);
    FACET_RETURN_IF_ERROR(parts_.control->Poll());
    peer_left = !CheckNobodyLeft(outgoing, incoming).ok();
    if (peer_left) continue;

    if (!has_slept) {
      deadline = Deadline::After(parts_.timeout);
      NoteWait(UnfinishedPeers(outgoing, incoming).front());
    }
    has_slept = true;
    const absl::Duration left = deadline.left();
    if (left <= absl::ZeroDuration()) return DidNotArrive(outgoing, incoming);
    if (only_shm_) {
      parts_.doorbell->Sleep(ticket, std::min(kLifeCheckInterval, left));
    } else {
      SleepOnSockets(outgoing, incoming, left);
    }
    armed = false;
  }
}

absl::StatusOr<bool> Transport::Advance(absl::Span<Outgoing> outgoing,
                                        absl::Span<Incoming> incoming) {
  size_t moved = 0;
  for (Outgoing& message : outgoing) {
    if (message.complete()) continue;
    FACET_ASSIGN_OR_RETURN(const size_t n,
                           parts_.links[message.peer]->TrySend(message));
    moved += n;
  }
  for (Incoming& message : incoming) {
    if (message.complete()) continue;
    FACET_ASSIGN_OR_RETURN(const size_t n,
                           parts_.links[message.peer]->TryReceive(message));
    moved += n;
  }
  return moved > 0;
}

void Transport::SleepOnSockets(absl::Span<const Outgoing> outgoing,
                               absl::Span<const Incoming> incoming,
                               absl::Duration at_most) {
  std::vector<pollfd> polled;
  polled.push_back({wake_fd_.get(), POLLIN, 0});
  parts_.control->AppendPollFds(&polled);
  bool shm_too = false;
  for (const Outgoing& message : outgoing) {
    const int fd = parts_.links[message.peer]->fd();
    if (message.complete()) continue;
    shm_too |= fd < 0;
    if (fd >= 0) polled.push_back({fd, POLLOUT, 0});
  }
  for (const Incoming& message : incoming) {
    // One that waits for its source to leave wakes with the outgoing one.
    if (message.done >= message.limit()) continue;
    const int fd = parts_.links[message.peer]->fd();
    shm_too |= fd < 0;
    if (fd >= 0) polled.push_back({fd, POLLIN, 0});
  }
  if (shm_too) at_most = std::min(at_most, kMixedSleep);
  const timespec timeout = absl::ToTimespec(at_most);
  ppoll(polled.data(), polled.size(), &timeout, nullptr);
}

absl::Status Transport::CheckNobodyLeft(
    absl::Span<const Outgoing> outgoing,
    absl::Span<const Incoming> incoming) const {
  for (int peer : UnfinishedPeers(outgoing, incoming)) {
    if (parts_.links[peer]->fd() < 0 && parts_.control->left(peer)) {
      return absl::UnavailableError(absl::StrCat(
          parts_.peer_names[peer], " is gone: it left the world while rank ",
          parts_.rank, " waited for it"));
    }
  }
  return absl::OkStatus();
}

absl::Status Transport::DidNotArrive(
    absl::Span<const Outgoing> outgoing,
    absl::Span<const Incoming> incoming) const {
  const MessageKind kind =
      incoming.empty() ? outgoing[0].kind : incoming[0].kind;
  std::vector<std::string> names;
  for (int peer : UnfinishedPeers(outgoing, incoming)) {
    names.push_back(parts_.peer_names[peer]);
  }
  return absl::DeadlineExceededError(
      absl::StrCat(MessageKindName(kind), ": rank ", parts_.rank, " waited ",
                   absl::FormatDuration(parts_.timeout), " in vain for ",
                   absl::StrJoin(names, ", ")));
}

void Transport::NoteWait(int peer) {
  if (waits_for_.load(std::memory_order_relaxed) == peer) return;
  waits_since_.store(absl::ToUnixNanos(absl::Now()), std::memory_order_relaxed);
  waits_for_.store(peer, std::memory_order_release);
}

CommActivity Transport::activity() const {
  CommActivity activity;
  const RecordedCall call = recorder_.Oldest();
  if (call.number > 0) activity.call = call.ToString();
  activity.waits_for = waits_for_.load(std::memory_order_acquire);
  if (activity.waits_for >= 0) {
    activity.waits =
        absl::Now() -
        absl::FromUnixNanos(waits_since_.load(std::memory_order_relaxed));
  }
  activity.moves = recorder_.asked() + recorder_.finished() +
                   late_moves_.load(std::memory_order_relaxed);
  return activity;
}

absl::Status Transport::Fail(const absl::Status& status) {
  {
    std::lock_guard<std::mutex> lock(failure_mutex_);
    if (!failure_.ok()) return failure_;
    failure_ = status;
    failed_.store(true, std::memory_order_release);
  }
  parts_.control->SendFailure(parts_.rank, status);
  return status;
}

absl::Status Transport::failure() {
  std::lock_guard<std::mutex> lock(failure_mutex_);
  return failure_;
}

void Transport::Abort(const absl::Status& status) {
  FACET_CHECK(!status.ok());
  (void)Fail(status);
  const uint64_t one = 1;
  (void)!write(wake_fd_.get(), &one, sizeof(one));
  if (parts_.doorbell != nullptr) parts_.doorbell->Ring();
}

}  // namespace facet
