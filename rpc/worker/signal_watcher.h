// Turns SIGTERM and SIGINT into a call on an ordinary thread, where locks and
// allocation are allowed.
#ifndef FACET_RPC_WORKER_SIGNAL_WATCHER_H_
#define FACET_RPC_WORKER_SIGNAL_WATCHER_H_

#include <csignal>
#include <functional>
#include <string>
#include <thread>

namespace facet {

// Create it before other threads: it blocks both signals in the calling thread,
// and threads started later inherit that. The destructor unblocks them.
class SignalWatcher {
 public:
  // `on_signal` gets "SIGTERM" or "SIGINT", once per signal.
  explicit SignalWatcher(std::function<void(const std::string&)> on_signal);
  ~SignalWatcher();

  SignalWatcher(const SignalWatcher&) = delete;
  SignalWatcher& operator=(const SignalWatcher&) = delete;

 private:
  void Watch();

  std::function<void(const std::string&)> on_signal_;
  sigset_t previous_;
  int signal_fd_ = -1;
  int stop_fd_ = -1;
  std::thread thread_;
};

}  // namespace facet

#endif  // FACET_RPC_WORKER_SIGNAL_WATCHER_H_
