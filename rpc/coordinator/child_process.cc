#include "rpc/coordinator/child_process.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "kernels/base/status_macros.h"

namespace facet {
namespace {

std::vector<std::string> Environment(
    const std::vector<std::pair<std::string, std::string>>& added) {
  std::vector<std::string> all;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    bool replaced = false;
    for (const auto& [name, value] : added) {
      replaced = replaced || absl::StartsWith(*entry, absl::StrCat(name, "="));
    }
    if (!replaced) all.push_back(*entry);
  }
  for (const auto& [name, value] : added) {
    all.push_back(absl::StrCat(name, "=", value));
  }
  return all;
}

std::vector<char*> Pointers(std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  for (std::string& one : strings) pointers.push_back(one.data());
  pointers.push_back(nullptr);
  return pointers;
}

void CloseFrom(int first) {
#ifdef SYS_close_range
  if (syscall(SYS_close_range, first, ~0u, 0) == 0) return;
#endif
  const int64_t most = sysconf(_SC_OPEN_MAX);
  for (int fd = first; fd < most; ++fd) close(fd);
}

// Runs in the child, between fork and exec: only calls that are safe while
// other threads' locks may be held. Reports the error that stopped it through
// `report`, which a successful exec closes.
[[noreturn]] void BecomeChild(pid_t parent, int report, const char* executable,
                              char* const* argv, char* const* environment) {
  constexpr int kReport = 3;
  setpgid(0, 0);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(127);  // it died before the line above
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  const int null = open("/dev/null", O_RDONLY);
  if (null >= 0) dup2(null, STDIN_FILENO);
  dup2(STDERR_FILENO, STDOUT_FILENO);
  if (report != kReport) dup2(report, kReport);
  fcntl(kReport, F_SETFD, FD_CLOEXEC);
  CloseFrom(kReport + 1);
  execve(executable, argv, environment);
  const int error = errno;
  (void)!write(kReport, &error, sizeof(error));
  _exit(127);
}

std::string HowItEnded(int status) {
  if (WIFSIGNALED(status)) {
    return absl::StrCat("was killed by signal ", WTERMSIG(status), " (",
                        strsignal(WTERMSIG(status)), ")");
  }
  return absl::StrCat("exited with code ", WEXITSTATUS(status));
}

absl::StatusOr<pid_t> Spawn(ChildProcessOptions& options) {
  std::vector<std::string> variables = Environment(options.environment);
  const std::vector<char*> argv = Pointers(options.argv);
  const std::vector<char*> environment = Pointers(variables);
  int report[2];
  if (pipe2(report, O_CLOEXEC) != 0) {
    return absl::InternalError(
        absl::StrCat("cannot make a pipe: ", std::strerror(errno)));
  }
  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid == 0) {
    BecomeChild(parent, report[1], options.executable.c_str(), argv.data(),
                environment.data());
  }
  const int fork_error = errno;
  close(report[1]);
  int error = 0;
  ssize_t got = 0;
  if (pid > 0) {
    do {
      got = read(report[0], &error, sizeof(error));
    } while (got < 0 && errno == EINTR);
  }
  close(report[0]);
  if (pid < 0) {
    return absl::InternalError(
        absl::StrCat("cannot start a process: ", std::strerror(fork_error)));
  }
  if (got == sizeof(error)) {
    waitpid(pid, nullptr, 0);
    return absl::InternalError(absl::StrCat("cannot run ", options.executable,
                                            ": ", std::strerror(error)));
  }
  return pid;
}

}  // namespace

absl::StatusOr<std::unique_ptr<ChildProcess>> ChildProcess::Start(
    ChildProcessOptions options) {
  std::unique_ptr<ChildProcess> child(new ChildProcess());
  child->thread_ = std::thread(
      [child = child.get(), options = std::move(options)]() mutable {
        child->StartAndWait(std::move(options));
      });
  {
    std::unique_lock<std::mutex> lock(child->mutex_);
    child->changed_.wait(lock, [&] { return child->started_; });
  }
  FACET_RETURN_IF_ERROR(child->start_status_);
  return child;
}

ChildProcess::~ChildProcess() {
  Kill(SIGKILL);
  thread_.join();
}

// The kernel ties the child's life to the thread that made it, so that thread
// stays until the child is gone.
void ChildProcess::StartAndWait(ChildProcessOptions options) {
  const absl::StatusOr<pid_t> pid = Spawn(options);
  {
    std::lock_guard<std::mutex> lock(mutex_);
    started_ = true;
    start_status_ = pid.status();
    gone_ = !pid.ok();
    if (pid.ok()) pid_ = *pid;
    changed_.notify_all();
  }
  if (!pid.ok()) return;

  // Look first and reap under the lock: a pid that is not reaped cannot become
  // another process's, so Kill() hits no stranger.
  siginfo_t info;
  while (waitid(P_PID, *pid, &info, WEXITED | WNOWAIT) != 0 && errno == EINTR) {
  }
  int status = 0;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    waitpid(*pid, &status, 0);
    gone_ = true;
    changed_.notify_all();
  }
  if (options.on_exit) options.on_exit(HowItEnded(status));
}

void ChildProcess::Kill(int signal) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (!gone_ && pid_ > 0) kill(pid_, signal);
}

bool ChildProcess::WaitUntilGone(absl::Time deadline) {
  std::unique_lock<std::mutex> lock(mutex_);
  while (!gone_ && absl::Now() < deadline) {
    changed_.wait_until(lock, absl::ToChronoTime(deadline));
  }
  return gone_;
}

}  // namespace facet
