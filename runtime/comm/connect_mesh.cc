#include "runtime/comm/connect_mesh.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "kernels/base/status_macros.h"
#include "runtime/comm/handshake.h"
#include "runtime/comm/socket.h"

namespace facet {
namespace {

// Who has not finished its handshake by then is turned away.
constexpr absl::Duration kHandshakeTimeout = absl::Seconds(5);
constexpr absl::Duration kRetryDelay = absl::Milliseconds(50);

// The key of one wanted connection.
struct Place {
  int peer = -1;
  Channel channel = Channel::kControl;
};

// One connection with its handshake under way.
struct Attempt {
  enum class Step { kConnecting, kHello, kChallenge, kProof, kWelcome };

  UniqueFd fd;
  bool outgoing = false;
  Place place;  // of an accepted connection: once its Hello is read
  Step step = Step::kConnecting;  // what is waited for
  Deadline give_up = Deadline::After(kHandshakeTimeout);
  Hello hello;
  Challenge challenge;
  uint8_t input[64];
  size_t input_size = 0;
};

class Gathering {
 public:
  Gathering(const MeshOptions& options, int listener_fd)
      : options_(options),
        size_(static_cast<int>(options.addresses.size())),
        listener_fd_(listener_fd),
        trouble_(size_) {
    mesh_.control.resize(size_);
    mesh_.data.resize(size_);
  }

  absl::StatusOr<Mesh> Run() {
    for (int peer = 0; peer < options_.rank; ++peer) {
      retries_.push_back({{peer, Channel::kControl}, Deadline()});
      if (options_.needs_data[peer]) {
        retries_.push_back({{peer, Channel::kData}, Deadline()});
      }
    }
    while (true) {
      const std::vector<int> missing = Missing();
      if (missing.empty()) return std::move(mesh_);
      if (options_.deadline.passed()) return DidNotCome(missing);
      if (options_.give_up && options_.give_up()) {
        return absl::CancelledError("the world is given up");
      }
      FACET_RETURN_IF_ERROR(StartDueConnections());
      DropStaleAttempts();
      FACET_RETURN_IF_ERROR(PollOnce());
    }
  }

 private:
  struct Retry {
    Place place;
    Deadline at;
  };

  UniqueFd& Slot(const Place& place) {
    return (place.channel == Channel::kData ? mesh_.data
                                            : mesh_.control)[place.peer];
  }

  std::vector<int> Missing() const {
    std::vector<int> missing;
    for (int peer = 0; peer < size_; ++peer) {
      if (peer == options_.rank) continue;
      if (!mesh_.control[peer].valid() ||
          (options_.needs_data[peer] && !mesh_.data[peer].valid())) {
        missing.push_back(peer);
      }
    }
    return missing;
  }

  absl::Status DidNotCome(const std::vector<int>& missing) const {
    std::vector<std::string> parts;
    for (int peer : missing) {
      parts.push_back(
          absl::StrCat("rank ", peer, " at ", options_.addresses[peer]));
      if (!trouble_[peer].empty()) {
        absl::StrAppend(&parts.back(), " (", trouble_[peer], ")");
      }
    }
    return absl::DeadlineExceededError(absl::StrCat(
        "forming a world of ", size_, " ranks: rank ", options_.rank,
        " waited in vain for ", absl::StrJoin(parts, ", ")));
  }

  absl::Status StartDueConnections() {
    for (size_t i = 0; i < retries_.size();) {
      if (!retries_[i].at.passed()) {
        ++i;
        continue;
      }
      const Place place = retries_[i].place;
      retries_.erase(retries_.begin() + i);
      absl::StatusOr<UniqueFd> fd =
          StartConnect(options_.addresses[place.peer]);
      if (absl::IsInvalidArgument(fd.status())) {
        return Annotate(fd.status(),
                        absl::StrCat("address of rank ", place.peer));
      }
      if (!fd.ok()) {
        TryAgain(place, fd.status().message());
        continue;
      }
      auto attempt = std::make_unique<Attempt>();
      attempt->fd = *std::move(fd);
      attempt->outgoing = true;
      attempt->place = place;
      attempts_.push_back(std::move(attempt));
    }
    return absl::OkStatus();
  }

  void TryAgain(const Place& place, absl::string_view trouble) {
    trouble_[place.peer] = std::string(trouble.data(), trouble.size());
    retries_.push_back({place, Deadline::After(kRetryDelay)});
  }

  void DropStaleAttempts() {
    for (size_t i = 0; i < attempts_.size();) {
      if (attempts_[i]->give_up.passed()) {
        Drop(i, "no answer to the handshake");
      } else {
        ++i;
      }
    }
  }

  void Drop(size_t index, absl::string_view trouble) {
    const std::unique_ptr<Attempt> attempt = std::move(attempts_[index]);
    attempts_.erase(attempts_.begin() + index);
    if (attempt->outgoing) {
      TryAgain(attempt->place, trouble);
    } else if (attempt->place.peer >= 0) {
      trouble_[attempt->place.peer] =
          absl::StrCat("a connection in its name was refused: ", trouble);
    }
  }

  absl::Status PollOnce() {
    Deadline wake = options_.deadline;
    if (options_.give_up) {
      wake = std::min(wake, Deadline::After(absl::Milliseconds(50)));
    }
    for (const Retry& retry : retries_) wake = std::min(wake, retry.at);
    for (const auto& attempt : attempts_) {
      wake = std::min(wake, attempt->give_up);
    }
    std::vector<pollfd> polled;
    polled.push_back({listener_fd_, POLLIN, 0});
    for (const auto& attempt : attempts_) {
      const bool connecting = attempt->step == Attempt::Step::kConnecting;
      polled.push_back({attempt->fd.get(),
                        static_cast<short>(connecting ? POLLOUT : POLLIN), 0});
    }
    if (poll(polled.data(), polled.size(), wake.PollMilliseconds()) < 0) {
      if (errno == EINTR) return absl::OkStatus();
      return absl::InternalError(
          absl::StrCat("poll while forming a world: ", std::strerror(errno)));
    }
    // From the back, because an attempt that ends leaves the list.
    for (size_t i = attempts_.size(); i-- > 0;) {
      if (polled[i + 1].revents != 0) FACET_RETURN_IF_ERROR(Advance(i));
    }
    if (polled[0].revents != 0) AcceptAll();
    return absl::OkStatus();
  }

  void AcceptAll() {
    const size_t most = 4 * size_ + 16;
    while (true) {
      const int fd =
          accept4(listener_fd_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (fd < 0) return;
      SetNoDelay(fd);
      auto attempt = std::make_unique<Attempt>();
      attempt->fd = UniqueFd(fd);
      attempt->step = Attempt::Step::kHello;
      attempts_.push_back(std::move(attempt));
      // Too many strangers: the one who has been silent longest goes.
      if (attempts_.size() > most) {
        for (size_t i = 0; i < attempts_.size(); ++i) {
          if (!attempts_[i]->outgoing) {
            Drop(i, "too many connections at once");
            break;
          }
        }
      }
    }
  }

  static size_t Expected(Attempt::Step step) {
    switch (step) {
      case Attempt::Step::kConnecting:
        return 0;
      case Attempt::Step::kHello:
        return sizeof(Hello);
      case Attempt::Step::kChallenge:
        return sizeof(Challenge);
      case Attempt::Step::kProof:
        return sizeof(Mac);
      case Attempt::Step::kWelcome:
        return sizeof(kWelcome);
    }
    return 0;
  }

  // Reads what has arrived and goes as far as it takes the handshake. Fails
  // only when the world cannot form any more.
  absl::Status Advance(size_t index) {
    while (true) {
      Attempt& attempt = *attempts_[index];
      const size_t expected = Expected(attempt.step);
      if (attempt.input_size < expected) {
        const ssize_t n =
            recv(attempt.fd.get(), attempt.input + attempt.input_size,
                 expected - attempt.input_size, MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
          return absl::OkStatus();
        }
        if (n <= 0) {
          Drop(index, n == 0 ? "it hung up during the handshake"
                             : std::strerror(errno));
          return absl::OkStatus();
        }
        attempt.input_size += n;
        if (attempt.input_size < expected) continue;
      }
      attempt.input_size = 0;
      switch (attempt.step) {
        case Attempt::Step::kConnecting:
          if (!SayHello(index)) return absl::OkStatus();
          break;
        case Attempt::Step::kHello:
          if (!AnswerHello(index)) return absl::OkStatus();
          break;
        case Attempt::Step::kChallenge: {
          FACET_ASSIGN_OR_RETURN(const bool go_on, AnswerChallenge(index));
          if (!go_on) return absl::OkStatus();
          break;
        }
        case Attempt::Step::kProof:
          AnswerProof(index);
          return absl::OkStatus();
        case Attempt::Step::kWelcome:
          if (attempt.input[0] == kWelcome) {
            Finish(index);
          } else {
            Drop(index, "it did not welcome us");
          }
          return absl::OkStatus();
      }
    }
  }

  // The four answers below return whether the attempt still exists.
  bool SayHello(size_t index) {
    Attempt& attempt = *attempts_[index];
    int error = 0;
    socklen_t size = sizeof(error);
    getsockopt(attempt.fd.get(), SOL_SOCKET, SO_ERROR, &error, &size);
    if (error != 0) {
      Drop(index, absl::StrCat("connecting: ", std::strerror(error)));
      return false;
    }
    const absl::StatusOr<Nonce> nonce = RandomNonce();
    if (!nonce.ok()) {
      Drop(index, nonce.status().message());
      return false;
    }
    attempt.hello.world_size = size_;
    attempt.hello.from = options_.rank;
    attempt.hello.to = attempt.place.peer;
    attempt.hello.channel = attempt.place.channel;
    attempt.hello.nonce = *nonce;
    attempt.step = Attempt::Step::kChallenge;
    return Write(index, &attempt.hello, sizeof(attempt.hello));
  }

  bool AnswerHello(size_t index) {
    Attempt& attempt = *attempts_[index];
    Hello& hello = attempt.hello;
    std::memcpy(&hello, attempt.input, sizeof(hello));
    // Only higher ranks connect to us, each on the channels we expect.
    const bool sensible =
        hello.magic == Hello::kMagic &&
        hello.world_size == static_cast<uint32_t>(size_) &&
        hello.to == static_cast<uint32_t>(options_.rank) &&
        hello.from > hello.to && hello.from < hello.world_size &&
        (hello.channel == Channel::kControl ||
         (hello.channel == Channel::kData && options_.needs_data[hello.from]));
    const absl::StatusOr<Nonce> nonce = RandomNonce();
    if (!sensible || !nonce.ok()) {
      Drop(index, "no rank of this world");
      return false;
    }
    attempt.place = {static_cast<int>(hello.from), hello.channel};
    attempt.challenge.nonce = *nonce;
    attempt.challenge.mac = AcceptorMac(options_.world_key, hello, *nonce);
    attempt.step = Attempt::Step::kProof;
    return Write(index, &attempt.challenge, sizeof(attempt.challenge));
  }

  absl::StatusOr<bool> AnswerChallenge(size_t index) {
    Attempt& attempt = *attempts_[index];
    Challenge challenge;
    std::memcpy(&challenge, attempt.input, sizeof(challenge));
    if (!SameMac(challenge.mac, AcceptorMac(options_.world_key, attempt.hello,
                                            challenge.nonce))) {
      return absl::PermissionDeniedError(
          absl::StrCat("rank ", attempt.place.peer, " at ",
                       options_.addresses[attempt.place.peer],
                       " holds another world_key than rank ", options_.rank,
                       ": all ranks need the key of the same world"));
    }
    const Mac proof =
        ConnectorMac(options_.world_key, attempt.hello, challenge.nonce);
    attempt.step = Attempt::Step::kWelcome;
    return Write(index, proof.data(), proof.size());
  }

  void AnswerProof(size_t index) {
    Attempt& attempt = *attempts_[index];
    Mac proof;
    std::memcpy(proof.data(), attempt.input, proof.size());
    if (!SameMac(proof, ConnectorMac(options_.world_key, attempt.hello,
                                     attempt.challenge.nonce))) {
      Drop(index, "it holds another world_key");
      return;
    }
    if (Write(index, &kWelcome, sizeof(kWelcome))) Finish(index);
  }

  bool Write(size_t index, const void* bytes, size_t count) {
    // An empty socket buffer always has room for these few bytes.
    const ssize_t sent = send(attempts_[index]->fd.get(), bytes, count,
                              MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent == static_cast<ssize_t>(count)) return true;
    Drop(index, sent < 0 ? std::strerror(errno) : "short write");
    return false;
  }

  void Finish(size_t index) {
    std::unique_ptr<Attempt> attempt = std::move(attempts_[index]);
    attempts_.erase(attempts_.begin() + index);
    NoticeDeadPeers(attempt->fd.get(), options_.dead_after);
    // A peer that comes twice lost its first connection: the last one counts.
    Slot(attempt->place) = std::move(attempt->fd);
  }

  const MeshOptions& options_;
  const int size_;
  const int listener_fd_;
  Mesh mesh_;
  std::vector<std::unique_ptr<Attempt>> attempts_;
  std::vector<Retry> retries_;
  std::vector<std::string> trouble_;  // by rank: why it is not here yet
};

}  // namespace

absl::StatusOr<Mesh> ConnectMesh(const MeshOptions& options, int listener_fd) {
  return Gathering(options, listener_fd).Run();
}

}  // namespace facet
