#include "rpc/cli/worker_pod.h"

#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <string>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "gtest/gtest.h"

namespace facet {
namespace {

// Shell scripts stand in for workers; each adds a line to `log` when it starts.
class WorkerPodTest : public testing::Test {
 protected:
  WorkerPodTest() : log_(absl::StrCat(testing::TempDir(), "/pod_", getpid())) {
    std::ofstream(log_).close();
    // As RunWorkerPod() does, but before there is a thread to send it.
    sigset_t watched;
    sigemptyset(&watched);
    sigaddset(&watched, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &watched, nullptr);
  }

  WorkerPodOptions Options(const std::string& then) const {
    WorkerPodOptions options;
    options.executable = "/bin/sh";
    options.worker_argv = {
        "sh", "-c", absl::StrCat("echo started $1 >> ", log_, "; ", then),
        "worker"};
    options.restart_after = absl::Milliseconds(10);
    return options;
  }

  int Lines() const {
    std::ifstream file(log_);
    int lines = 0;
    for (std::string line; std::getline(file, line);) ++lines;
    return lines;
  }
  std::string Log() const {
    std::ifstream file(log_);
    return std::string(std::istreambuf_iterator<char>(file), {});
  }

  // Runs a pod, sends this process SIGTERM `signals` times once `lines` workers
  // have started.
  absl::Status Run(const WorkerPodOptions& options, int lines, int signals) {
    std::thread sender([&] {
      while (Lines() < lines) absl::SleepFor(absl::Milliseconds(10));
      for (int i = 0; i < signals; ++i) {
        kill(getpid(), SIGTERM);
        absl::SleepFor(absl::Milliseconds(300));
      }
    });
    const absl::Status status = RunWorkerPod(options);
    sender.join();
    return status;
  }

  const std::string log_;
};

TEST_F(WorkerPodTest, StartsOneWorkerForEachGpu) {
  WorkerPodOptions options = Options("sleep 600");
  options.workers = 3;
  options.device = "cuda";
  EXPECT_TRUE(Run(options, 3, 1).ok());
  for (const char* device : {"cuda:0", "cuda:1", "cuda:2"}) {
    EXPECT_NE(Log().find(absl::StrCat("--device=", device)), std::string::npos);
  }
}

TEST_F(WorkerPodTest, StartsAWorkerAgainThatFails) {
  // The first one fails, the second stays.
  WorkerPodOptions options = Options(
      absl::StrCat("[ $(wc -l < ", log_, ") -gt 1 ] && sleep 600; exit 1"));
  EXPECT_TRUE(Run(options, 2, 1).ok());
  EXPECT_EQ(Lines(), 2);
}

TEST_F(WorkerPodTest, ACoordinatorThatLeavesInOrderCountsAsNoFailure) {
  WorkerPodOptions options = Options(
      absl::StrCat("[ $(wc -l < ", log_, ") -gt 8 ] && sleep 600; exit 0"));
  options.most_failures = 2;
  EXPECT_TRUE(Run(options, 9, 1).ok());
}

TEST_F(WorkerPodTest, FailingAgainAndAgainEndsThePod) {
  WorkerPodOptions options = Options("exit 3");
  options.most_failures = 4;
  const absl::Status status = Run(options, 4, 0);
  EXPECT_EQ(status.code(), absl::StatusCode::kAborted);
  EXPECT_NE(status.message().find("exited with code 3"),
            absl::string_view::npos)
      << status;
  EXPECT_EQ(Lines(), 4);
}

TEST_F(WorkerPodTest, WorkersGoOnAfterSigtermUntilTheyAreToldElsewhere) {
  // It ends by itself a second after it started: no signal reaches it.
  WorkerPodOptions options = Options(
      absl::StrCat("trap 'echo told >> ", log_,
                   "; exit' TERM; sleep 1 & wait; echo done >> ", log_));
  options.grace = absl::Minutes(10);
  EXPECT_TRUE(Run(options, 1, 1).ok());
  EXPECT_NE(Log().find("done"), std::string::npos);
  EXPECT_EQ(Log().find("told"), std::string::npos);
  EXPECT_EQ(Log().find("started"), Log().rfind("started"));
}

TEST_F(WorkerPodTest, ASecondSignalEndsTheGraceAtOnce) {
  WorkerPodOptions options = Options(absl::StrCat(
      "trap 'echo told >> ", log_, "; exit' TERM; sleep 600 & wait"));
  options.grace = absl::Minutes(60);
  EXPECT_TRUE(Run(options, 1, 2).ok());
  EXPECT_NE(Log().find("told"), std::string::npos);
}

TEST_F(WorkerPodTest, AWorkerThatStaysIsKilled) {
  WorkerPodOptions options =
      Options("trap '' TERM; while true; do sleep 1; done");
  options.leave = absl::Milliseconds(200);
  EXPECT_TRUE(Run(options, 1, 1).ok());
}

TEST_F(WorkerPodTest, AHealthPortThatIsTakenIsAnError) {
  WorkerPodOptions options = Options("sleep 600");
  options.health = "no such host:1";
  EXPECT_FALSE(Run(options, 0, 0).ok());
}

}  // namespace
}  // namespace facet
