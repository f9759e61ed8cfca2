#include "tests/chaos/packet_switch.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <algorithm>
#include <utility>

#include "absl/time/clock.h"

namespace facet {
namespace {

constexpr size_t kMaxFrame = 1 << 16;
// More that are late is a machine that floods the others.
constexpr size_t kMostLate = 1 << 16;

}  // namespace

std::array<uint8_t, 6> MachineAddress(int machine) {
  return {0x02, 0, 0, 0, 0, static_cast<uint8_t>(machine)};
}

PacketSwitch::PacketSwitch(std::vector<UniqueFd> ports)
    : ports_(std::move(ports)),
      wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      paths_(ports_.size(), std::vector<NetworkPath>(ports_.size())) {
  thread_ = std::thread([this] { Run(); });
}

PacketSwitch::~PacketSwitch() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stop_ = true;
  }
  const uint64_t one = 1;
  (void)!write(wake_.get(), &one, sizeof(one));
  thread_.join();
}

void PacketSwitch::Set(int from, int to, const NetworkPath& path) {
  const std::lock_guard<std::mutex> lock(mutex_);
  paths_[from][to] = path;
}

void PacketSwitch::SetAll(const NetworkPath& path) {
  const std::lock_guard<std::mutex> lock(mutex_);
  for (auto& row : paths_) std::fill(row.begin(), row.end(), path);
}

int64_t PacketSwitch::passed() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return passed_;
}

int64_t PacketSwitch::dropped() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return dropped_;
}

void PacketSwitch::Run() {
  std::vector<pollfd> polled;
  for (const UniqueFd& port : ports_) polled.push_back({port.get(), POLLIN, 0});
  polled.push_back({wake_.get(), POLLIN, 0});
  while (true) {
    const absl::Duration left = Deliver(absl::Now()) - absl::Now();
    const timespec timeout = absl::ToTimespec(
        std::clamp(left, absl::ZeroDuration(), absl::Seconds(1)));
    ppoll(polled.data(), polled.size(), &timeout, nullptr);
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (stop_) return;
    }
    for (size_t i = 0; i < ports_.size(); ++i) {
      if (polled[i].revents != 0) Take(static_cast<int>(i), absl::Now());
    }
  }
}

void PacketSwitch::Take(int from, absl::Time now) {
  static thread_local char buffer[kMaxFrame];
  // So many at most, so that no port waits for another's flood.
  for (int count = 0; count < 64; ++count) {
    const ssize_t size =
        recv(ports_[from].get(), buffer, sizeof(buffer), MSG_DONTWAIT);
    if (size < 6) return;
    const std::string frame(buffer, size);
    const bool broadcast = (frame[0] & 1) != 0;
    for (int to = 0; to < static_cast<int>(ports_.size()); ++to) {
      const auto address = MachineAddress(to);
      const bool meant =
          broadcast ||
          std::equal(address.begin(), address.end(),
                     reinterpret_cast<const uint8_t*>(frame.data()));
      if (to == from || !meant) continue;
      NetworkPath path;
      {
        const std::lock_guard<std::mutex> lock(mutex_);
        path = paths_[from][to];
        const bool lost =
            path.cut || late_.size() >= kMostLate ||
            (path.loss > 0 && std::bernoulli_distribution(path.loss)(random_));
        ++(lost ? dropped_ : passed_);
        if (lost) continue;
      }
      if (path.delay > absl::ZeroDuration()) {
        late_.emplace(now + path.delay, Late{to, frame});
      } else {
        Send(to, frame);
      }
    }
  }
}

// A port that takes no more drops it, as a full queue does.
void PacketSwitch::Send(int to, const std::string& frame) {
  (void)!send(ports_[to].get(), frame.data(), frame.size(),
              MSG_DONTWAIT | MSG_NOSIGNAL);
}

absl::Time PacketSwitch::Deliver(absl::Time now) {
  while (!late_.empty() && late_.begin()->first <= now) {
    Send(late_.begin()->second.to, late_.begin()->second.frame);
    late_.erase(late_.begin());
  }
  return late_.empty() ? absl::InfiniteFuture() : late_.begin()->first;
}

}  // namespace facet
