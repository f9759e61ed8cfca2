#include "tests/chaos/packet_switch.h"

#include <poll.h>
#include <sys/socket.h>

#include <string>

#include "absl/time/clock.h"
#include "gtest/gtest.h"

namespace facet {
namespace {

class PacketSwitchTest : public testing::Test {
 protected:
  PacketSwitchTest() {
    std::vector<UniqueFd> ports;
    for (int i = 0; i < 3; ++i) {
      int pair[2];
      EXPECT_EQ(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, pair), 0);
      machines_.emplace_back(pair[0]);
      ports.emplace_back(pair[1]);
    }
    switch_ = std::make_unique<PacketSwitch>(std::move(ports));
  }

  void Send(int from, int to, const std::string& text) {
    const auto address = MachineAddress(to);
    std::string frame(address.begin(), address.end());
    if (to < 0) frame.assign(6, '\xff');
    frame += text;
    ASSERT_EQ(send(machines_[from].get(), frame.data(), frame.size(), 0),
              static_cast<ssize_t>(frame.size()));
  }

  // What comes to `machine`; "" when nothing does.
  std::string Receive(int machine,
                      absl::Duration patience = absl::Seconds(20)) {
    pollfd polled = {machines_[machine].get(), POLLIN, 0};
    poll(&polled, 1, static_cast<int>(absl::ToInt64Milliseconds(patience)));
    char buffer[100];
    const ssize_t size =
        recv(machines_[machine].get(), buffer, sizeof(buffer), MSG_DONTWAIT);
    return size < 6 ? "" : std::string(buffer + 6, size - 6);
  }

  std::vector<UniqueFd> machines_;
  std::unique_ptr<PacketSwitch> switch_;
};

TEST_F(PacketSwitchTest, FramesReachTheirMachineAlone) {
  Send(0, 2, "two");
  EXPECT_EQ(Receive(2), "two");
  Send(0, -1, "all");
  EXPECT_EQ(Receive(1), "all");
  EXPECT_EQ(Receive(2), "all");
  EXPECT_EQ(Receive(0, absl::ZeroDuration()), "");
  EXPECT_EQ(switch_->passed(), 3);
}

TEST_F(PacketSwitchTest, ACutPathIsCutInOneDirection) {
  NetworkPath cut;
  cut.cut = true;
  switch_->Set(0, 1, cut);
  Send(0, 1, "lost");
  Send(1, 0, "back");
  EXPECT_EQ(Receive(0), "back");
  Send(0, 2, "elsewhere");
  EXPECT_EQ(Receive(2), "elsewhere");
  EXPECT_EQ(switch_->dropped(), 1);
  EXPECT_EQ(Receive(1, absl::ZeroDuration()), "");
  switch_->SetAll(NetworkPath());
  Send(0, 1, "mended");
  EXPECT_EQ(Receive(1), "mended");
}

TEST_F(PacketSwitchTest, DelayedFramesComeLaterAndInOrder) {
  NetworkPath late;
  late.delay = absl::Milliseconds(200);
  switch_->Set(0, 1, late);
  const absl::Time start = absl::Now();
  Send(0, 1, "a");
  Send(0, 1, "b");
  EXPECT_EQ(Receive(1), "a");
  EXPECT_GE(absl::Now() - start, absl::Milliseconds(199));
  EXPECT_EQ(Receive(1), "b");
}

TEST_F(PacketSwitchTest, AShareOfTheFramesIsLost) {
  NetworkPath lossy;
  lossy.loss = 0.3;
  switch_->SetAll(lossy);
  constexpr int kFrames = 2000;
  for (int i = 0; i < kFrames; ++i) {
    Send(0, 1, "x");
    // Sockets hold a few frames alone.
    while (switch_->passed() + switch_->dropped() <= i) absl::SleepFor({});
    Receive(1, absl::ZeroDuration());
  }
  EXPECT_GT(switch_->dropped(), kFrames / 5);
  EXPECT_LT(switch_->dropped(), kFrames * 2 / 5);
}

}  // namespace
}  // namespace facet
