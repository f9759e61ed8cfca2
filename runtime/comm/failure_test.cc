// A lost, late or false peer is an error that names it, never a hang.
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <functional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "gtest/gtest.h"
#include "runtime/comm/communicator.h"
#include "runtime/comm/host_communicator.h"
#include "runtime/comm/random_name.h"
#include "runtime/comm/socket.h"
#include "runtime/comm/testing/run_ranks.h"
#include "runtime/comm/unique_fd.h"

namespace facet {
namespace {

// Far above what detection takes, far below the deadline of the worlds here:
// who waits longer has waited for the deadline.
constexpr absl::Duration kSoon = absl::Seconds(20);
constexpr absl::Duration kLong = absl::Seconds(60);

using Values = std::vector<float>;

absl::Status Sum(Communicator& comm) {
  Values values(100, 1.0f);
  return comm.AllReduceSum(absl::MakeSpan(values));
}

bool Names(const absl::Status& status, int rank) {
  return absl::StrContains(std::string(status.message()),
                           absl::StrCat("rank ", rank, " at 127.0.0.1:"));
}

std::string KindName(const testing::TestParamInfo<CommKind>& info) {
  return CommKindName(info.param);
}

class FailureTest : public testing::TestWithParam<CommKind> {};
INSTANTIATE_TEST_SUITE_P(Host, FailureTest, testing::ValuesIn(kHostCommKinds),
                         KindName);

TEST_P(FailureTest, PeerThatNeverComesIsNamedAtTheDeadline) {
  TestWorld world = MakeTestWorld(GetParam(), 3, absl::Milliseconds(500));
  std::vector<std::thread> threads;
  for (int rank : {0, 2}) {
    threads.emplace_back([&, rank] {
      const auto comm = MakeHostCommunicator(world.options[rank],
                                             world.listeners[rank].get());
      EXPECT_TRUE(absl::IsDeadlineExceeded(comm.status())) << comm.status();
      EXPECT_TRUE(Names(comm.status(), 1)) << comm.status();
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST_P(FailureTest, OnlookersSeeForWhomARankWaits) {
  std::atomic<bool> seen = false;
  RunRanks(
      GetParam(), 2,
      [&](Communicator& comm) {
        if (comm.rank() == 1) {
          while (!seen) absl::SleepFor(absl::Milliseconds(1));
          EXPECT_TRUE(Sum(comm).ok());
          EXPECT_EQ(comm.activity().call, "");
          EXPECT_EQ(comm.LastCalls(4), "#1 all-reduce 400 B finished");
          return;
        }
        EXPECT_EQ(comm.activity().call, "");
        const uint64_t moves = comm.activity().moves;
        std::thread onlooker([&] {
          const absl::Time deadline = absl::Now() + kSoon;
          while (comm.activity().waits_for != 1 && absl::Now() < deadline) {
            absl::SleepFor(absl::Milliseconds(1));
          }
          const CommActivity activity = comm.activity();
          EXPECT_EQ(activity.waits_for, 1);
          EXPECT_EQ(activity.call, "#1 all-reduce 400 B");
          EXPECT_GE(activity.waits, absl::ZeroDuration());
          EXPECT_GT(activity.moves, moves);
          seen = true;
        });
        EXPECT_TRUE(Sum(comm).ok());
        onlooker.join();
        EXPECT_EQ(comm.activity().waits_for, -1);
      },
      kLong);
}

TEST_P(FailureTest, PeerThatDoesNotJoinACallIsNamedAtTheDeadline) {
  std::atomic<bool> done = false;
  RunRanks(
      GetParam(), 2,
      [&](Communicator& comm) {
        if (comm.rank() == 1) {
          while (!done) absl::SleepFor(absl::Milliseconds(5));
          return;
        }
        const absl::Status status = Sum(comm);
        EXPECT_TRUE(absl::IsDeadlineExceeded(status)) << status;
        EXPECT_TRUE(Names(status, 1)) << status;
        EXPECT_EQ(Sum(comm), status) << "errors stay";
        done = true;
      },
      // Long enough to form a world on a busy machine.
      absl::Seconds(3));
}

TEST_P(FailureTest, AbortFromAnotherThreadUnblocksAndReachesThePeers) {
  const absl::Time start = absl::Now();
  RunRanks(
      GetParam(), 4,
      [&](Communicator& comm) {
        if (comm.rank() != 3) {
          const absl::Status status = Sum(comm);
          EXPECT_TRUE(absl::IsUnavailable(status)) << status;
          EXPECT_TRUE(absl::StrContains(std::string(status.message()),
                                        "rank 3 gave up: stop it"))
              << status;
          return;
        }
        std::thread aborter([&] {
          absl::SleepFor(absl::Milliseconds(50));
          comm.Abort(absl::CancelledError("stop it"));
        });
        std::vector<uint8_t> never(1);
        EXPECT_EQ(comm.Recv(absl::MakeSpan(never), 0),
                  absl::CancelledError("stop it"));
        aborter.join();
      },
      kLong);
  EXPECT_LT(absl::Now() - start, kSoon);
}

TEST_P(FailureTest, PeerThatLeavesWithItsWorkDoneDisturbsNobody) {
  RunRanks(
      GetParam(), 3,
      [&](Communicator& comm) {
        // Rank 2 sends and is gone before the others have looked.
        std::vector<uint8_t> bytes(10000, 7);
        if (comm.rank() == 2) {
          EXPECT_TRUE(comm.Send(bytes, 0).ok());
          return;
        }
        absl::SleepFor(absl::Milliseconds(100));
        if (comm.rank() == 1) {
          EXPECT_TRUE(comm.Send(bytes, 0).ok());
          return;
        }
        for (int peer : {1, 2}) {
          std::vector<uint8_t> got(bytes.size());
          const absl::Status status = comm.Recv(absl::MakeSpan(got), peer);
          EXPECT_TRUE(status.ok()) << status;
          EXPECT_EQ(got, bytes);
        }
        // But to wait for more from it is an error.
        const absl::Status status = comm.Recv(absl::MakeSpan(bytes), 2);
        EXPECT_TRUE(absl::IsUnavailable(status)) << status;
        EXPECT_TRUE(Names(status, 2)) << status;
      },
      kLong);
}

TEST_P(FailureTest, RanksThatMakeDifferentCallsFindOut) {
  RunRanks(
      GetParam(), 2,
      [&](Communicator& comm) {
        Values values(comm.rank() == 0 ? 100 : 101);
        const absl::Status status = comm.AllReduceSum(absl::MakeSpan(values));
        EXPECT_FALSE(status.ok());
        EXPECT_TRUE(
            absl::StrContains(std::string(status.message()), "expected"))
            << status;
      },
      kLong);
}

// The other ranks are processes of their own here, as in life.
class DeadPeerTest : public FailureTest {
 protected:
  // Runs `body` as `rank` of `world` in a child process.
  pid_t Fork(TestWorld& world, int rank,
             const std::function<void(Communicator&)>& body) {
    const pid_t pid = fork();
    if (pid != 0) {
      // Only the child holds its listener now.
      world.listeners[rank].reset();
      return pid;
    }
    auto comm =
        MakeHostCommunicator(world.options[rank], world.listeners[rank].get());
    if (comm.ok()) body(**comm);
    _exit(0);
  }
};
INSTANTIATE_TEST_SUITE_P(Host, DeadPeerTest, testing::ValuesIn(kHostCommKinds),
                         KindName);

TEST_P(DeadPeerTest, ProcessThatEndsIsUnavailableAndNamed) {
  TestWorld world = MakeTestWorld(GetParam(), 2, kLong);
  const pid_t child =
      Fork(world, 1, [](Communicator& comm) { (void)Sum(comm); });
  auto comm = MakeHostCommunicator(world.options[0], world.listeners[0].get());
  ASSERT_TRUE(comm.ok()) << comm.status();
  EXPECT_TRUE(Sum(**comm).ok());
  const absl::Time start = absl::Now();
  const absl::Status status = Sum(**comm);
  EXPECT_LT(absl::Now() - start, kSoon);
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_TRUE(Names(status, 1)) << status;
  waitpid(child, nullptr, 0);
}

TEST_P(DeadPeerTest, KilledProcessIsUnavailableToAllAndNamed) {
  TestWorld world = MakeTestWorld(GetParam(), 3, kLong);
  // Rank 1 waits for rank 0; rank 0 waits for rank 1; rank 2 is killed, and
  // both hear of it though neither waits for rank 2.
  int report[2];
  ASSERT_EQ(pipe(report), 0);
  const pid_t victim = Fork(world, 2, [](Communicator& comm) {
    (void)comm.Send({7}, 0);
    pause();
  });
  const pid_t witness = Fork(world, 1, [&](Communicator& comm) {
    std::vector<uint8_t> never(1);
    const absl::Status status = comm.Recv(absl::MakeSpan(never), 0);
    const char verdict =
        absl::IsUnavailable(status) && Names(status, 2) ? 'y' : 'n';
    (void)!write(report[1], &verdict, 1);
  });
  auto comm = MakeHostCommunicator(world.options[0], world.listeners[0].get());
  ASSERT_TRUE(comm.ok()) << comm.status();
  std::vector<uint8_t> byte(1);
  ASSERT_TRUE((*comm)->Recv(absl::MakeSpan(byte), 2).ok());
  kill(victim, SIGKILL);
  const absl::Time start = absl::Now();
  const absl::Status status = (*comm)->Recv(absl::MakeSpan(byte), 1);
  EXPECT_LT(absl::Now() - start, kSoon);
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_TRUE(Names(status, 2)) << status;
  char verdict = 0;
  EXPECT_EQ(read(report[0], &verdict, 1), 1);
  EXPECT_EQ(verdict, 'y');
  for (pid_t child : {victim, witness}) waitpid(child, nullptr, 0);
  close(report[0]);
  close(report[1]);
}

TEST(ForgeryTest, PeerWithAnotherWorldKeyIsRefusedOnBothSides) {
  TestWorld world = MakeTestWorld(CommKind::kTcp, 2, absl::Milliseconds(700));
  world.options[1].world_key = RandomName();
  std::thread honest([&] {
    const auto comm =
        MakeHostCommunicator(world.options[0], world.listeners[0].get());
    EXPECT_TRUE(absl::IsDeadlineExceeded(comm.status())) << comm.status();
    EXPECT_TRUE(Names(comm.status(), 1)) << comm.status();
  });
  const auto comm =
      MakeHostCommunicator(world.options[1], world.listeners[1].get());
  EXPECT_TRUE(absl::IsPermissionDenied(comm.status())) << comm.status();
  EXPECT_TRUE(Names(comm.status(), 0)) << comm.status();
  honest.join();
}

TEST(ForgeryTest, StrangersAtTheListenerDoNotBreakAFormingWorld) {
  TestWorld world = MakeTestWorld(CommKind::kMixed, 4, kLong);
  // Rank 0 begins late, so all of these are served before the ranks: silence,
  // garbage, a good beginning that ends, and one that hangs up at once.
  std::vector<UniqueFd> strangers;
  for (int i = 0; i < 60; ++i) {
    auto fd = StartConnect(world.options[0].endpoints[0].address);
    ASSERT_TRUE(fd.ok()) << fd.status();
    absl::SleepFor(absl::Milliseconds(1));
    const std::string garbage(i % 3 == 0 ? 0 : i * 7,
                              static_cast<char>(i * 37));
    (void)!send(fd->get(), garbage.data(), garbage.size(), MSG_NOSIGNAL);
    if (i % 4 != 0) strangers.push_back(*std::move(fd));
  }
  std::vector<std::thread> threads;
  for (int rank = 0; rank < 4; ++rank) {
    threads.emplace_back([&, rank] {
      if (rank == 0) absl::SleepFor(absl::Milliseconds(100));
      auto comm = MakeHostCommunicator(world.options[rank],
                                       world.listeners[rank].get());
      ASSERT_TRUE(comm.ok()) << comm.status();
      const absl::Status status = Sum(**comm);
      EXPECT_TRUE(status.ok()) << status;
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST(OptionsTest, NonsenseIsRefusedByName) {
  TestWorld world = MakeTestWorld(CommKind::kShm, 2);
  const auto refusal = [&](void (*spoil)(HostCommOptions&)) {
    HostCommOptions options = world.options[1];
    spoil(options);
    const absl::Status status =
        MakeHostCommunicator(options, world.listeners[1].get()).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
    return std::string(status.message());
  };
  EXPECT_TRUE(absl::StrContains(
      refusal([](HostCommOptions& options) { options.rank = 2; }), "rank 2"));
  EXPECT_TRUE(absl::StrContains(
      refusal([](HostCommOptions& options) { options.world_key.clear(); }),
      "world_key"));
  EXPECT_TRUE(absl::StrContains(refusal([](HostCommOptions& options) {
                                  options.endpoints[0].address = "localhost";
                                }),
                                "localhost"));
  EXPECT_FALSE(CommListener::Create("no.such.host").ok());
}

TEST(HostIdTest, IsTheSameForTwoCallsOfOneProcess) {
  EXPECT_EQ(LocalHostId(), LocalHostId());
  EXPECT_FALSE(LocalHostId().empty());
}

std::set<std::string> NamesInDevShm() {
  std::set<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator("/dev/shm")) {
    const std::string name = entry.path().filename();
    if (absl::StartsWith(name, "facet-")) names.insert(name);
  }
  return names;
}

TEST(ShmTest, NoNameOutlivesTheFormingOfItsWorld) {
  const std::set<std::string> before = NamesInDevShm();
  RunRanks(CommKind::kShm, 4, [&](Communicator& comm) {
    // All have attached after this.
    EXPECT_TRUE(Sum(comm).ok());
    if (comm.rank() != 0) return;
    // Other worlds of this machine may be forming: only a name that stays is
    // one too many.
    std::set<std::string> left = NamesInDevShm();
    for (int look = 0; look < 200; ++look) {
      const std::set<std::string> now = NamesInDevShm();
      std::erase_if(left, [&](const std::string& name) {
        return before.contains(name) || !now.contains(name);
      });
      if (left.empty()) return;
      absl::SleepFor(absl::Milliseconds(50));
    }
    ADD_FAILURE() << "left behind: " << *left.begin();
  });
}

}  // namespace
}  // namespace facet
