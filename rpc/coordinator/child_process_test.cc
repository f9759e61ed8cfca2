// Run with "--as-parent FILE" it is a process that has a child, for a test that
// kills it.
#include "rpc/coordinator/child_process.h"

#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace facet {
namespace {

using testing::HasSubstr;

ChildProcessOptions Shell(const std::string& script, std::string* how) {
  ChildProcessOptions options;
  options.executable = "/bin/sh";
  options.argv = {"sh", "-c", script};
  options.on_exit = [how](const std::string& reason) { *how = reason; };
  return options;
}

bool IsAlive(pid_t pid) {
  std::ifstream file(absl::StrCat("/proc/", pid, "/stat"));
  std::string number, name, state;
  return file >> number >> name >> state && state != "Z" && state != "X";
}

TEST(ChildProcessTest, SaysHowItEnded) {
  std::string how;
  {
    auto child = ChildProcess::Start(Shell("exit 7", &how));
    ASSERT_TRUE(child.ok()) << child.status();
    EXPECT_TRUE((*child)->WaitUntilGone(absl::Now() + absl::Seconds(10)));
  }
  EXPECT_EQ(how, "exited with code 7");
  {
    auto child = ChildProcess::Start(Shell("sleep 100", &how));
    ASSERT_TRUE(child.ok()) << child.status();
    EXPECT_FALSE((*child)->WaitUntilGone(absl::Now() + absl::Milliseconds(5)));
    (*child)->Kill(SIGTERM);
    EXPECT_TRUE((*child)->WaitUntilGone(absl::Now() + absl::Seconds(10)));
  }
  EXPECT_EQ(how, "was killed by signal 15 (Terminated)");
}

TEST(ChildProcessTest, AMissingProgramIsAnError) {
  ChildProcessOptions options;
  options.executable = "/no/such/program";
  options.argv = {"program"};
  const absl::Status status = ChildProcess::Start(options).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("cannot run /no/such/program: No such file"));
}

TEST(ChildProcessTest, TheDestructorLeavesNoProcess) {
  std::string how;
  pid_t pid = 0;
  {
    auto child = ChildProcess::Start(Shell("sleep 100", &how));
    ASSERT_TRUE(child.ok()) << child.status();
    pid = (*child)->pid();
    EXPECT_TRUE(IsAlive(pid));
    // Ctrl-C at a terminal goes to a process group.
    EXPECT_EQ(getpgid(pid), pid);
  }
  EXPECT_EQ(kill(pid, 0), -1);
  EXPECT_EQ(how, "was killed by signal 9 (Killed)");
}

TEST(ChildProcessTest, GivenVariablesReplaceInheritedOnes) {
  setenv("FACET_CHILD_TEST", "inherited", 1);
  std::string how;
  ChildProcessOptions options =
      Shell("test \"$FACET_CHILD_TEST\" = given -a -n \"$PATH\"", &how);
  options.environment = {{"FACET_CHILD_TEST", "given"}};
  auto child = ChildProcess::Start(options);
  ASSERT_TRUE(child.ok()) << child.status();
  EXPECT_TRUE((*child)->WaitUntilGone(absl::Now() + absl::Seconds(10)));
  child->reset();
  EXPECT_EQ(how, "exited with code 0");
}

TEST(ChildProcessTest, AChildDoesNotOutliveItsParent) {
  const std::string file =
      absl::StrCat(testing::TempDir(), "/grandchild.", getpid());
  std::string how;
  ChildProcessOptions options;
  options.executable = "/proc/self/exe";
  options.argv = {"child_process_test", "--as-parent", file};
  auto parent = ChildProcess::Start(options);
  ASSERT_TRUE(parent.ok()) << parent.status();
  pid_t grandchild = 0;
  const absl::Time deadline = absl::Now() + absl::Seconds(20);
  while (grandchild == 0 && absl::Now() < deadline) {
    std::ifstream(file) >> grandchild;
    absl::SleepFor(absl::Milliseconds(5));
  }
  ASSERT_GT(grandchild, 0);
  ASSERT_TRUE(IsAlive(grandchild));
  (*parent)->Kill(SIGKILL);
  while (IsAlive(grandchild) && absl::Now() < deadline) {
    absl::SleepFor(absl::Milliseconds(5));
  }
  EXPECT_FALSE(IsAlive(grandchild));
}

int BeParent(const std::string& file) {
  std::string how;
  auto child = ChildProcess::Start(Shell("sleep 100", &how));
  if (!child.ok()) return 1;
  const std::string draft = file + ".draft";
  std::ofstream(draft) << (*child)->pid() << "\n";
  if (std::rename(draft.c_str(), file.c_str()) != 0) return 1;
  absl::SleepFor(absl::Seconds(100));
  return 0;
}

}  // namespace
}  // namespace facet

int main(int argc, char** argv) {
  if (argc == 3 && std::string(argv[1]) == "--as-parent") {
    return facet::BeParent(argv[2]);
  }
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
