#include "tests/fuzz/wire/hostile_peer.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "kernels/base/check.h"
#include "runtime/comm/handshake.h"
#include "runtime/comm/host_communicator.h"
#include "runtime/comm/link.h"
#include "runtime/comm/random_name.h"
#include "runtime/comm/socket.h"
#include "runtime/comm/unique_fd.h"

namespace facet {
namespace {

// Of waits that nothing ends: short, since most worlds here come to one.
constexpr absl::Duration kPatience = absl::Milliseconds(150);

template <typename Struct>
std::string AsBytes(const Struct& value) {
  return std::string(reinterpret_cast<const char*>(&value), sizeof(value));
}

void Say(int fd, const std::string& bytes) {
  (void)!send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
}

// Exactly `count` bytes, or fewer when they do not come.
std::string Hear(int fd, size_t count) {
  std::string bytes;
  while (bytes.size() < count) {
    pollfd polled = {fd, POLLIN, 0};
    if (poll(&polled, 1, 200) <= 0) break;
    char buffer[256];
    const ssize_t got =
        recv(fd, buffer, std::min(sizeof(buffer), count - bytes.size()), 0);
    if (got <= 0) break;
    bytes.append(buffer, got);
  }
  return bytes;
}

std::string Text(const Mac& mac) { return std::string(mac.begin(), mac.end()); }

// A world of two in which both are machines of their own.
struct World {
  World() {
    const std::string key = RandomName();
    for (int rank : {0, 1}) {
      auto listener = CommListener::Create("127.0.0.1");
      FACET_CHECK(listener.ok());
      listeners.push_back(*std::move(listener));
      endpoints.push_back(
          {rank == 0 ? "host-0" : "host-1", listeners[rank]->address()});
    }
    for (int rank : {0, 1}) {
      options[rank].rank = rank;
      options[rank].endpoints = endpoints;
      options[rank].world_key = key;
      options[rank].timeout = kPatience;
    }
  }

  absl::StatusOr<std::unique_ptr<Communicator>> Join(int rank) {
    return MakeHostCommunicator(options[rank], listeners[rank].get());
  }

  std::vector<std::unique_ptr<CommListener>> listeners;
  std::vector<CommEndpoint> endpoints;
  HostCommOptions options[2];
};

// Rank 1's handshake for `channel`, spoiled somewhere where `spoil`. The
// connection, whatever came of it.
UniqueFd ShakeHands(const World& world, Channel channel, bool spoil,
                    Mutator& random) {
  auto connected = StartConnect(world.endpoints[0].address);
  if (!connected.ok()) return UniqueFd();
  UniqueFd fd = *std::move(connected);
  pollfd polled = {fd.get(), POLLOUT, 0};
  poll(&polled, 1, 2000);
  const size_t spoiled = spoil ? random.Below(3) : 9;
  Hello hello;
  hello.world_size = 2;
  hello.from = 1;
  hello.to = 0;
  hello.channel = channel;
  hello.nonce = *RandomNonce();
  std::string bytes = AsBytes(hello);
  if (spoiled == 0) {
    Say(fd.get(), random.OneIn(2) ? random.Bytes(200) : random.Spoil(bytes));
    return fd;
  }
  Say(fd.get(), bytes);
  const std::string heard = Hear(fd.get(), sizeof(Challenge));
  if (heard.size() < sizeof(Challenge)) return fd;
  Challenge challenge;
  std::memcpy(&challenge, heard.data(), sizeof(challenge));
  bytes =
      Text(ConnectorMac(world.options[0].world_key, hello, challenge.nonce));
  if (spoiled == 1) {
    bytes[random.Below(bytes.size())] ^=
        static_cast<char>(1 << random.Below(8));
  }
  if (spoiled == 2) bytes = Text(challenge.mac);  // its own proof
  Say(fd.get(), bytes);
  if (!spoil) Hear(fd.get(), 1);
  return fd;
}

// A call that rank 1 answers with nothing right.
absl::Status SomeCall(Communicator& comm, Mutator& random) {
  std::vector<float> values(1 + random.Below(400), 1.0f);
  std::vector<uint8_t> bytes(1 + random.Below(400));
  std::vector<uint8_t> all(2 * bytes.size());
  switch (random.Below(4)) {
    case 0:
      return comm.AllReduceSum(absl::MakeSpan(values));
    case 1:
      return comm.Recv(absl::MakeSpan(bytes), 1);
    case 2:
      return comm.Broadcast(absl::MakeSpan(bytes), 1);
    default:
      return comm.AllGather(bytes, absl::MakeSpan(all));
  }
}

// A header of something, or none.
std::string SomeMessage(Mutator& random) {
  if (random.OneIn(4)) return random.Bytes(3000);
  MessageHeader header;
  header.kind = static_cast<MessageKind>(random.Below(6));
  // Above any message of SomeCall(), so that none is right.
  header.bytes = random.OneIn(3) ? random.Word() : 5000 + random.Below(100);
  std::string bytes = AsBytes(header);
  if (random.OneIn(3)) bytes[random.Below(4)] ^= 1;  // of the magic
  return bytes + random.Bytes(1000);
}

void SpeakRightThenWrong(Mutator& random) {
  World world;
  const uint64_t seed = random.Word();
  std::thread hostile([&world, seed] {
    Mutator random(seed);
    const UniqueFd control =
        ShakeHands(world, Channel::kControl, /*spoil=*/false, random);
    const UniqueFd data =
        ShakeHands(world, Channel::kData, /*spoil=*/false, random);
    if (!random.OneIn(4)) Say(data.get(), SomeMessage(random));
    if (random.OneIn(2)) Say(control.get(), random.Bytes(300));
    // Some go at once, some stay and say nothing more.
    if (random.OneIn(4)) absl::SleepFor(2 * kPatience);
  });
  auto comm = world.Join(0);
  if (comm.ok()) {
    FACET_CHECK(!SomeCall(**comm, random).ok());
    FACET_CHECK(!SomeCall(**comm, random).ok());  // errors stay
  }
  hostile.join();
}

void FormBesideStrangers(Mutator& random) {
  World world;
  for (int rank : {0, 1}) world.options[rank].timeout = absl::Seconds(30);
  std::vector<std::thread> ranks;
  for (int rank : {0, 1}) {
    ranks.emplace_back([&world, rank] {
      auto comm = world.Join(rank);
      FACET_CHECK(comm.ok());
      std::vector<float> values(10, 1.0f);
      FACET_CHECK((*comm)->AllReduceSum(absl::MakeSpan(values)).ok());
      FACET_CHECK(values[9] == 2.0f);
    });
  }
  std::vector<UniqueFd> strangers;
  for (size_t i = random.Below(6); i > 0; --i) {
    const Channel channel =
        random.OneIn(2) ? Channel::kControl : Channel::kData;
    strangers.push_back(ShakeHands(world, channel, /*spoil=*/true, random));
    if (random.OneIn(2)) strangers.pop_back();
  }
  for (std::thread& rank : ranks) rank.join();
}

// Rank 1 connects to one that is none.
void ConnectToHostile(Mutator& random) {
  World world;
  const uint64_t seed = random.Word();
  std::thread hostile([&world, seed] {
    Mutator random(seed);
    const absl::Time end = absl::Now() + kPatience;
    std::vector<UniqueFd> accepted;
    while (absl::Now() < end) {
      pollfd polled = {world.listeners[0]->fd(), POLLIN, 0};
      poll(&polled, 1, 10);
      UniqueFd fd(
          accept4(world.listeners[0]->fd(), nullptr, nullptr, SOCK_CLOEXEC));
      if (!fd.valid()) continue;
      Say(fd.get(), random.Bytes(2 * sizeof(Challenge)));
      if (random.OneIn(2)) accepted.push_back(std::move(fd));
    }
  });
  FACET_CHECK(!world.Join(1).ok());
  hostile.join();
}

}  // namespace

void MeetHostilePeer(Mutator& random) {
  switch (random.Below(4)) {
    case 0:
      return FormBesideStrangers(random);
    case 1:
      return ConnectToHostile(random);
    default:
      return SpeakRightThenWrong(random);
  }
}

}  // namespace facet
