// A network of a few machines in one thread: passes Ethernet frames between
// their ports and, where told so, loses, delays or cuts them, each direction of
// each pair by itself. Their own TCP makes of it what it makes of a bad
// network.
#ifndef FACET_TESTS_CHAOS_PACKET_SWITCH_H_
#define FACET_TESTS_CHAOS_PACKET_SWITCH_H_

#include <array>
#include <cstdint>
#include <map>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "absl/time/time.h"
#include "runtime/comm/unique_fd.h"

namespace facet {

// What befalls frames of one direction between two machines.
struct NetworkPath {
  bool cut = false;
  double loss = 0;  // of each frame, 0 to 1
  absl::Duration delay;
};

// Port i is machine i, whose address is 02:00:00:00:00:i.
std::array<uint8_t, 6> MachineAddress(int machine);

class PacketSwitch {
 public:
  // Each port is a socket that gives and takes one frame at a time.
  explicit PacketSwitch(std::vector<UniqueFd> ports);
  ~PacketSwitch();

  // From now on; any thread.
  void Set(int from, int to, const NetworkPath& path);
  void SetAll(const NetworkPath& path);

  // Frames that came to their port; and that were lost or cut.
  int64_t passed() const;
  int64_t dropped() const;

 private:
  struct Late {
    int to = 0;
    std::string frame;
  };

  void Run();
  void Take(int from, absl::Time now);
  void Send(int to, const std::string& frame);
  // To those whose time has come. Returns when the next one's does.
  absl::Time Deliver(absl::Time now);

  const std::vector<UniqueFd> ports_;
  UniqueFd wake_;
  mutable std::mutex mutex_;
  std::vector<std::vector<NetworkPath>> paths_;  // [from][to]
  int64_t passed_ = 0;
  int64_t dropped_ = 0;
  bool stop_ = false;
  // Of the thread.
  std::multimap<absl::Time, Late> late_;
  std::mt19937_64 random_{1};
  std::thread thread_;
};

}  // namespace facet

#endif  // FACET_TESTS_CHAOS_PACKET_SWITCH_H_
