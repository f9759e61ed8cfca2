#include "kernels/base/signal.h"

#include <chrono>
#include <thread>
#include <vector>

#include "gtest/gtest.h"

namespace facet {
namespace {

TEST(SignalTest, WaitersSeeWhatWasWrittenBeforeTheValue) {
  Signal ping, pong;
  int written = 0;
  constexpr uint32_t kRounds = 20000;
  std::thread other([&] {
    Spinner spinner;
    for (uint32_t round = 0; round < kRounds; ++round) {
      ping.WaitWhile(round, spinner);
      ASSERT_EQ(written, static_cast<int>(round) + 1);
      written = -written;
      pong.Set(round + 1);
    }
  });
  Spinner spinner;
  for (uint32_t round = 0; round < kRounds; ++round) {
    written = static_cast<int>(round) + 1;
    ping.Set(round + 1);
    pong.WaitWhile(round, spinner);
    ASSERT_EQ(written, -(static_cast<int>(round) + 1));
  }
  other.join();
}

TEST(SignalTest, AllThatSleepWakeUp) {
  Signal signal;
  std::vector<std::thread> sleepers;
  for (int i = 0; i < 5; ++i) {
    sleepers.emplace_back([&] {
      Spinner spinner;
      EXPECT_EQ(signal.WaitWhile(0, spinner), 7u);
    });
  }
  // Long enough that they are asleep; were they not, the test would pass too.
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  signal.Set(7);
  for (std::thread& sleeper : sleepers) sleeper.join();
}

TEST(SignalTest, AValueThatDiffersAlreadyIsReturnedAtOnce) {
  Signal signal;
  signal.Set(3);
  Spinner spinner;
  EXPECT_EQ(signal.WaitWhile(2, spinner), 3u);
}

}  // namespace
}  // namespace facet
