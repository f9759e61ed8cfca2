#include "rpc/cli/worker_pod.h"

#include <algorithm>
#include <condition_variable>
#include <csignal>
#include <cstdio>
#include <deque>
#include <memory>
#include <mutex>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "kernels/base/status_macros.h"
#include "rpc/coordinator/child_process.h"
#include "rpc/health/health_port.h"
#include "rpc/worker/signal_watcher.h"

namespace facet {
namespace {

constexpr absl::Duration kTick = absl::Milliseconds(100);
constexpr absl::Duration kStuck = absl::Seconds(30);
constexpr char kLeftInOrder[] = "exited with code 0";

class WorkerPod {
 public:
  explicit WorkerPod(const WorkerPodOptions& options)
      : options_(options), places_(options.workers) {}

  absl::Status Run() {
    SignalWatcher signals([this](const std::string& name) { Signal(name); });
    if (options_.health != "off") {
      FACET_ASSIGN_OR_RETURN(health_, HealthPort::Start(options_.health));
    }
    absl::Status status;
    while (status.ok() && signals_heard() == 0) {
      status = StartMissing();
      if (status.ok()) status = Wait(kTick);
    }
    if (status.ok()) LetThemFinish();
    TellAll(SIGTERM);
    const absl::Time deadline = absl::Now() + options_.leave;
    while (absl::Now() < deadline && AnyLeft()) WaitQuietly(kTick);
    for (Place& place : places_) place.process.reset();  // kills who stayed
    return status;
  }

 private:
  struct Place {
    std::unique_ptr<ChildProcess> process;
    absl::Time start_at = absl::InfinitePast();
    bool gone = true;  // or never started
  };

  void Signal(const std::string& name) {
    std::lock_guard<std::mutex> lock(mutex_);
    ++signals_;
    std::fprintf(stderr, "facet worker: %s, %s\n", name.c_str(),
                 signals_ == 1 ? "leaving when the coordinator has finished"
                               : "leaving now");
    changed_.notify_all();
  }

  int signals_heard() {
    std::lock_guard<std::mutex> lock(mutex_);
    return signals_;
  }

  absl::Status StartMissing() {
    for (int i = 0; i < options_.workers; ++i) {
      Place& place = places_[i];
      {
        std::lock_guard<std::mutex> lock(mutex_);
        if (!place.gone || absl::Now() < place.start_at) continue;
        place.gone = false;
      }
      place.process.reset();
      ChildProcessOptions child;
      child.executable = options_.executable;
      child.argv = options_.worker_argv;
      child.argv.push_back(
          absl::StrCat("--device=", options_.device,
                       options_.device == "cuda" ? absl::StrCat(":", i) : ""));
      child.on_exit = [this, i](const std::string& how) { OnExit(i, how); };
      FACET_ASSIGN_OR_RETURN(place.process,
                             ChildProcess::Start(std::move(child)));
    }
    return absl::OkStatus();
  }

  void OnExit(int i, const std::string& how) {
    std::lock_guard<std::mutex> lock(mutex_);
    places_[i].gone = true;
    places_[i].start_at = absl::Now() + options_.restart_after;
    changed_.notify_all();
    if (signals_ > 0) return;
    std::fprintf(stderr, "facet worker: worker %d of this pod %s%s\n", i,
                 how.c_str(), "; starting it again");
    // A coordinator that shuts down in order is no failure of its workers.
    if (how == kLeftInOrder) return;
    const absl::Time now = absl::Now();
    failures_.push_back(now);
    while (now - failures_.front() > options_.failure_window) {
      failures_.pop_front();
    }
    last_failure_ = how;
  }

  // Errors: ABORTED when there were too many failures.
  absl::Status Wait(absl::Duration duration) {
    if (health_ != nullptr) health_->Beat(kStuck);
    WaitQuietly(duration);
    std::lock_guard<std::mutex> lock(mutex_);
    if (static_cast<int>(failures_.size()) < options_.most_failures) {
      return absl::OkStatus();
    }
    return absl::AbortedError(absl::StrCat(
        "workers of this pod failed ", failures_.size(), " times within ",
        absl::FormatDuration(options_.failure_window), "; the last one ",
        last_failure_));
  }

  void WaitQuietly(absl::Duration duration) {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait_for(lock, absl::ToChronoMilliseconds(duration));
  }

  // The coordinator is told to leave at the same time, and needs its workers
  // until what runs has ended; then it tells them.
  void LetThemFinish() {
    const absl::Time deadline = absl::Now() + options_.grace;
    while (absl::Now() < deadline && signals_heard() < 2 && AnyLeft()) {
      if (health_ != nullptr) health_->Beat(kStuck);
      WaitQuietly(kTick);
    }
  }

  bool AnyLeft() {
    std::lock_guard<std::mutex> lock(mutex_);
    return std::any_of(places_.begin(), places_.end(),
                       [](const Place& place) { return !place.gone; });
  }

  void TellAll(int signal) {
    for (Place& place : places_) {
      if (place.process != nullptr) place.process->Kill(signal);
    }
  }

  const WorkerPodOptions& options_;
  std::unique_ptr<HealthPort> health_;
  std::mutex mutex_;
  std::condition_variable changed_;
  int signals_ = 0;
  std::deque<absl::Time> failures_;
  std::string last_failure_;
  std::vector<Place> places_;  // `process` belongs to Run()'s thread
};

}  // namespace

absl::Status RunWorkerPod(const WorkerPodOptions& options) {
  return WorkerPod(options).Run();
}

}  // namespace facet
