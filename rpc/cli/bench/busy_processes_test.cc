#include "rpc/cli/bench/busy_processes.h"

#include <csignal>
#include <vector>

#include "gtest/gtest.h"
#include "rpc/cli/bench/process_memory.h"

namespace facet {
namespace {

TEST(BusyProcessesTest, TheyRunUntilNobodyHoldsThemAnyMore) {
  std::vector<pid_t> pids;
  {
    const auto busy = BusyProcesses::Start(2);
    ASSERT_TRUE(busy.ok()) << busy.status();
    pids = (*busy)->pids();
    ASSERT_EQ(pids.size(), 2u);
    for (pid_t pid : pids) EXPECT_EQ(kill(pid, 0), 0);
    EXPECT_EQ(ChildProcesses().size(), 2u);
  }
  for (pid_t pid : pids) EXPECT_NE(kill(pid, 0), 0);
  EXPECT_TRUE(ChildProcesses().empty());
}

}  // namespace
}  // namespace facet
