#include "rpc/cli/bench/busy_processes.h"

#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstring>

#include "absl/strings/str_cat.h"

namespace facet {
namespace {

[[noreturn]] void Count(pid_t parent) {
  // Whatever the parent has blocked or caught, this one can be ended.
  std::signal(SIGTERM, SIG_DFL);
  std::signal(SIGINT, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(0);
  volatile uint64_t count = 0;
  while (true) count = count + 1;
}

}  // namespace

absl::StatusOr<std::unique_ptr<BusyProcesses>> BusyProcesses::Start(int count) {
  std::unique_ptr<BusyProcesses> busy(new BusyProcesses());
  const pid_t self = getpid();
  for (int i = 0; i < count; ++i) {
    const pid_t pid = fork();
    if (pid == 0) Count(self);
    if (pid < 0) {
      return absl::ResourceExhaustedError(
          absl::StrCat("cannot start a busy process: ", std::strerror(errno)));
    }
    busy->pids_.push_back(pid);
  }
  return busy;
}

BusyProcesses::~BusyProcesses() {
  for (pid_t pid : pids_) kill(pid, SIGKILL);
  for (pid_t pid : pids_) {
    while (waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
    }
  }
}

}  // namespace facet
