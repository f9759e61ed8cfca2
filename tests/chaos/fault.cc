#include "tests/chaos/fault.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#ifndef SYS_pidfd_getfd
#define SYS_pidfd_getfd 438
#endif

namespace facet {
namespace {

// The file descriptors of `pid` that are sockets.
std::vector<int> Sockets(pid_t pid) {
  const std::string folder = absl::StrCat("/proc/", pid, "/fd");
  std::vector<int> found;
  DIR* fds = opendir(folder.c_str());
  if (fds == nullptr) return found;
  while (const dirent* entry = readdir(fds)) {
    char target[64] = "";
    const std::string path = absl::StrCat(folder, "/", entry->d_name);
    if (readlink(path.c_str(), target, sizeof(target) - 1) > 0 &&
        absl::StartsWith(target, "socket:")) {
      found.push_back(std::atoi(entry->d_name));
    }
  }
  closedir(fds);
  return found;
}

// Takes a copy of one of its TCP connections and shuts that down: both ends see
// it break.
absl::Status BreakConnection(pid_t pid, std::mt19937_64& random) {
  const int process = static_cast<int>(syscall(SYS_pidfd_open, pid, 0));
  if (process < 0) return absl::OkStatus();
  std::vector<int> connections;
  absl::Status status;
  for (const int fd : Sockets(pid)) {
    const int copy = static_cast<int>(syscall(SYS_pidfd_getfd, process, fd, 0));
    if (copy < 0) {
      if (errno == EPERM || errno == ENOSYS) {
        status = absl::PermissionDeniedError(
            absl::StrCat("pidfd_getfd: ", std::strerror(errno)));
      }
      continue;
    }
    sockaddr_storage peer = {};
    socklen_t size = sizeof(peer);
    if (getpeername(copy, reinterpret_cast<sockaddr*>(&peer), &size) == 0 &&
        (peer.ss_family == AF_INET || peer.ss_family == AF_INET6)) {
      connections.push_back(copy);
    } else {
      close(copy);
    }
  }
  close(process);
  if (!connections.empty()) {
    shutdown(connections[random() % connections.size()], SHUT_RDWR);
  }
  for (const int fd : connections) close(fd);
  return status;
}

// It ends, or stands still already.
bool IsGoneOrTraced(pid_t pid) {
  std::ifstream status(absl::StrCat("/proc/", pid, "/status"));
  std::string line;
  bool there = false, alone = false;
  while (std::getline(status, line)) {
    there |= absl::StartsWith(line, "State:") &&
             !absl::StrContains(line, "zombie") &&
             !absl::StrContains(line, "dead");
    alone |= absl::StartsWith(line, "TracerPid:\t0");
  }
  return !there || !alone;
}

// Stops the thread that runs steps, as a debugger does: from a process of its
// own, since whoever traces a child also hears of its stops where it waits for
// its end.
absl::Status StopMainThread(pid_t pid) {
  int report[2];
  if (pipe2(report, O_CLOEXEC) != 0) return absl::InternalError("no pipe");
  const pid_t tracer = fork();
  if (tracer == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    const bool stopped = ptrace(PTRACE_SEIZE, pid, nullptr, nullptr) == 0 &&
                         ptrace(PTRACE_INTERRUPT, pid, nullptr, nullptr) == 0;
    const int error = stopped ? 0 : errno;
    (void)!write(report[1], &error, sizeof(error));
    // What is traced is gone only once its tracer has seen it.
    int status = 0;
    while (stopped && waitpid(pid, &status, __WALL) == pid &&
           WIFSTOPPED(status)) {
    }
    _exit(0);
  }
  close(report[1]);
  int error = EPERM;
  (void)!read(report[0], &error, sizeof(error));
  close(report[0]);
  if (tracer > 0) {
    std::thread([tracer] { waitpid(tracer, nullptr, 0); }).detach();
  }
  if (error != EPERM && error != ENOSYS) return absl::OkStatus();
  if (IsGoneOrTraced(pid)) return absl::OkStatus();
  return absl::PermissionDeniedError(
      absl::StrCat("ptrace: ", std::strerror(error)));
}

}  // namespace

const char* Name(FaultKind kind) {
  constexpr const char* kNames[kFaultKinds] = {
      "kill", "pause",     "stall", "reset",   "leave",       "wedge",
      "slow", "partition", "loss",  "latency", "coordinator", "full disk"};
  return kNames[static_cast<int>(kind)];
}

absl::Status Inject(FaultKind kind, pid_t pid, absl::Duration pause,
                    std::mt19937_64& random) {
  switch (kind) {
    case FaultKind::kKill:
      kill(pid, SIGKILL);
      return absl::OkStatus();
    case FaultKind::kPause:
      kill(pid, SIGSTOP);
      absl::SleepFor(pause);
      kill(pid, SIGCONT);
      return absl::OkStatus();
    case FaultKind::kStall:
      kill(pid, SIGSTOP);
      return absl::OkStatus();
    case FaultKind::kReset:
      return BreakConnection(pid, random);
    case FaultKind::kLeave:
      kill(pid, SIGTERM);
      return absl::OkStatus();
    case FaultKind::kCoordinator:
      kill(pid, SIGKILL);
      return absl::OkStatus();
    case FaultKind::kFullDisk: {
      rlimit before = {};
      if (prlimit(pid, RLIMIT_FSIZE, nullptr, &before) != 0) {
        return absl::OkStatus();
      }
      const rlimit full = {64, before.rlim_max};
      prlimit(pid, RLIMIT_FSIZE, &full, nullptr);
      absl::SleepFor(pause);
      prlimit(pid, RLIMIT_FSIZE, &before, nullptr);
      return absl::OkStatus();
    }
    case FaultKind::kWedge:
      return StopMainThread(pid);
    case FaultKind::kSlow: {
      // A fifth of its time.
      const absl::Time end = absl::Now() + pause;
      while (absl::Now() < end) {
        kill(pid, SIGSTOP);
        absl::SleepFor(absl::Milliseconds(40));
        kill(pid, SIGCONT);
        absl::SleepFor(absl::Milliseconds(10));
      }
      return absl::OkStatus();
    }
    case FaultKind::kPartition:
    case FaultKind::kLoss:
    case FaultKind::kLatency:
      break;
  }
  return absl::OkStatus();
}

}  // namespace facet
