#include "rpc/worker/signal_watcher.h"

#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "kernels/base/check.h"

namespace facet {

SignalWatcher::SignalWatcher(std::function<void(const std::string&)> on_signal)
    : on_signal_(std::move(on_signal)) {
  sigset_t watched;
  sigemptyset(&watched);
  sigaddset(&watched, SIGTERM);
  sigaddset(&watched, SIGINT);
  FACET_CHECK(pthread_sigmask(SIG_BLOCK, &watched, &previous_) == 0);
  signal_fd_ = signalfd(-1, &watched, SFD_CLOEXEC);
  stop_fd_ = eventfd(0, EFD_CLOEXEC);
  FACET_CHECK(signal_fd_ >= 0 && stop_fd_ >= 0);
  thread_ = std::thread([this] { Watch(); });
}

SignalWatcher::~SignalWatcher() {
  const uint64_t one = 1;
  FACET_CHECK(write(stop_fd_, &one, sizeof(one)) == sizeof(one));
  thread_.join();
  close(signal_fd_);
  close(stop_fd_);
  pthread_sigmask(SIG_SETMASK, &previous_, nullptr);
}

void SignalWatcher::Watch() {
  while (true) {
    pollfd fds[] = {{signal_fd_, POLLIN, 0}, {stop_fd_, POLLIN, 0}};
    if (poll(fds, 2, -1) < 0 && errno == EINTR) continue;
    if (fds[1].revents != 0) return;
    signalfd_siginfo info;
    if (read(signal_fd_, &info, sizeof(info)) != sizeof(info)) continue;
    on_signal_(info.ssi_signo == SIGTERM ? "SIGTERM" : "SIGINT");
  }
}

}  // namespace facet
