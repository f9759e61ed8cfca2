#include "rpc/cli/bench/process_memory.h"

#include <sys/wait.h>
#include <unistd.h>

#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace facet {
namespace {

using testing::Contains;
using testing::HasSubstr;

TEST(ProcessMemoryTest, FieldsAreKilobytesAndNamesAreWhole) {
  const auto memory = ParseSmapsRollup(
      "55d0-7ffc ---p 00000000 00:00 0 [rollup]\n"
      "Rss:                9000 kB\n"
      "Pss:                4000 kB\n"
      "Pss_Anon:           1500 kB\n"
      "Anonymous:          2000 kB\n");
  ASSERT_TRUE(memory.ok()) << memory.status();
  EXPECT_EQ(memory->pss_bytes, 4000 * 1024);
  EXPECT_EQ(memory->anonymous_bytes, 2000 * 1024);
}

TEST(ProcessMemoryTest, AMissingFieldIsNamed) {
  const auto memory = ParseSmapsRollup("Pss_Anon: 1 kB\nAnonymous: 2 kB\n");
  EXPECT_THAT(memory.status().message(), HasSubstr("Pss"));
}

TEST(ProcessMemoryTest, TouchedMemoryShowsUp) {
  const auto before = ReadProcessMemory(getpid());
  if (!before.ok()) GTEST_SKIP() << before.status();
  const std::vector<char> block(64 << 20, 1);
  const auto after = ReadProcessMemory(getpid());
  ASSERT_TRUE(after.ok()) << after.status();
  EXPECT_GE(after->anonymous_bytes - before->anonymous_bytes, 60 << 20);
  EXPECT_GE(after->pss_bytes - before->pss_bytes, 60 << 20);
}

TEST(ProcessMemoryTest, ListsChildrenThatStillRun) {
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    pause();
    _exit(0);
  }
  EXPECT_THAT(ChildProcesses(), Contains(child));
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  EXPECT_THAT(ChildProcesses(), testing::Not(Contains(child)));
}

}  // namespace
}  // namespace facet
