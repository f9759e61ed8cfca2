#include "tests/chaos/chaos_run.h"

#include <algorithm>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <random>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "kernels/base/status_macros.h"
#include "rpc/cli/bench/process_memory.h"
#include "rpc/client/client.h"
#include "tests/chaos/fault.h"

namespace facet {
namespace {

class Chaos {
 public:
  Chaos(const ChaosOptions& options, const ServedModel& server,
        const std::vector<TextRequest>& requests,
        const std::vector<ChaosOutcome>& expected)
      : options_(options),
        server_(server),
        requests_(requests),
        expected_(expected),
        random_(options.seed) {}

  absl::Status Run() {
    FACET_ASSIGN_OR_RETURN(client_,
                           ConnectToServer(server_.grpc(), absl::Minutes(1)));
    std::vector<std::thread> users;
    for (int i = 0; i < options_.users; ++i) {
      users.emplace_back([this, i] { Live(i); });
    }
    absl::Status status = AwaitEvent(absl::Now());
    for (int i = 0; i < options_.faults && status.ok(); ++i) {
      status = OneFault(i);
    }
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      stop_ = true;
    }
    if (!status.ok() && absl::IsDeadlineExceeded(status)) {
      // Users that hang cannot be waited for.
      std::fprintf(stderr, "FAILED: %s\n", status.ToString().c_str());
      std::_Exit(1);
    }
    for (std::thread& user : users) user.join();
    Report();
    FACET_RETURN_IF_ERROR(status);
    FACET_RETURN_IF_ERROR(failure_);
    return CheckIdle();
  }

 private:
  // One request after the other until the faults are over.
  void Live(int user) {
    std::mt19937_64 random(options_.seed * 1000 + user);
    while (true) {
      {
        const std::lock_guard<std::mutex> lock(mutex_);
        if (stop_ || !failure_.ok()) return;
      }
      const size_t which = random() % requests_.size();
      const absl::StatusOr<ChaosOutcome> outcome =
          RunRequest(*client_, requests_[which], [this] { NoteEvent(); });
      const std::string difference =
          outcome.ok() ? Difference(expected_[which], *outcome)
                       : outcome.status().ToString();
      const std::lock_guard<std::mutex> lock(mutex_);
      ++answered_;
      if (!difference.empty() && failure_.ok()) {
        failure_ = absl::InternalError(
            absl::StrCat("request ", which, ": ", difference));
        changed_.notify_all();
      }
    }
  }

  void NoteEvent() {
    const absl::Time now = absl::Now();
    const std::lock_guard<std::mutex> lock(mutex_);
    ++events_;
    if (now - last_event_ > longest_gap_) {
      longest_gap_ = now - last_event_;
      gap_end_ = now;
    }
    last_event_ = now;
    changed_.notify_all();
  }

  // Waits for an event after `time`. Errors: DEADLINE_EXCEEDED when none comes,
  // what a user met before.
  absl::Status AwaitEvent(absl::Time time) {
    std::unique_lock<std::mutex> lock(mutex_);
    const bool came =
        changed_.wait_for(lock, absl::ToChronoMilliseconds(options_.patience),
                          [&] { return last_event_ > time || !failure_.ok(); });
    FACET_RETURN_IF_ERROR(failure_);
    if (came) return absl::OkStatus();
    return absl::DeadlineExceededError(
        absl::StrCat("no token for ", absl::FormatDuration(options_.patience)));
  }

  absl::Status OneFault(int number) {
    const std::vector<pid_t> workers = ChildProcesses(server_.pid());
    if (workers.empty()) {  // all of them are being replaced
      absl::SleepFor(absl::Milliseconds(5));
      return absl::OkStatus();
    }
    // Most are deaths; a stall takes a heartbeat timeout to be seen.
    std::discrete_distribution<int> kinds({50, 15, 10, 15, 10});
    auto kind = static_cast<FaultKind>(kinds(random_));
    const pid_t victim = workers[random_() % workers.size()];
    FACET_ASSIGN_OR_RETURN(const ServerState before, server_.State());
    const absl::Time start = absl::Now();
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      longest_gap_ = absl::ZeroDuration();
    }
    const absl::Status injected = Inject(kind, victim, options_.pause, random_);
    if (absl::IsPermissionDenied(injected) && options_.skip_forbidden) {
      std::printf("fault %d: %s is forbidden here\n", number, Name(kind));
      return absl::OkStatus();
    }
    FACET_RETURN_IF_ERROR(injected);
    if (random_() % 6 == 0) {
      // The next comes while this one is being mended.
      absl::SleepFor(absl::Milliseconds(random_() % 300));
      ++overlapped_;
      return absl::OkStatus();
    }
    FACET_RETURN_IF_ERROR(AwaitMended(kind, start, before.recoveries));
    absl::SleepFor(options_.most_between * (random_() % 1000) / 1000);
    absl::Duration recovery;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      recovery = gap_end_ - start;
    }
    recoveries_[static_cast<int>(kind)].push_back(recovery);
    std::printf(
        "fault %d: %s of process %d, mended after %s\n", number, Name(kind),
        victim,
        absl::FormatDuration(absl::Trunc(recovery, absl::Milliseconds(1)))
            .c_str());
    std::fflush(stdout);
    return absl::OkStatus();
  }

  // Waits until the server has recovered and tokens come again. A connection
  // that breaks may be one that nobody misses.
  absl::Status AwaitMended(FaultKind kind, absl::Time start,
                           double recoveries) {
    const absl::Time give_up =
        start +
        (kind == FaultKind::kReset ? absl::Seconds(3) : options_.patience);
    while (kind != FaultKind::kPause && absl::Now() < give_up) {
      FACET_ASSIGN_OR_RETURN(const ServerState state, server_.State());
      if (state.recoveries > recoveries) break;
      absl::SleepFor(absl::Milliseconds(10));
    }
    return AwaitEvent(absl::Now());
  }

  void Report() {
    std::vector<absl::Duration> all;
    for (int kind = 0; kind < kFaultKinds; ++kind) {
      std::vector<absl::Duration>& some = recoveries_[kind];
      if (some.empty()) continue;
      all.insert(all.end(), some.begin(), some.end());
      Print(Name(static_cast<FaultKind>(kind)), &some);
    }
    if (!all.empty()) Print("all", &all);
    std::printf(
        "%lld answers, %lld events, %d faults during another's repair\n",
        static_cast<long long>(answered_), static_cast<long long>(events_),
        overlapped_);
  }

  static void Print(const char* name, std::vector<absl::Duration>* times) {
    std::sort(times->begin(), times->end());
    const auto quantile = [&](double share) {
      const auto index = static_cast<size_t>(share * (times->size() - 1) + 0.5);
      return absl::ToDoubleSeconds((*times)[index]);
    };
    std::printf("recovery %-6s n %4zu  p50 %.3f s  p99 %.3f s  most %.3f s\n",
                name, times->size(), quantile(0.5), quantile(0.99),
                quantile(1));
  }

  // Nobody asks any more: no page may be held.
  absl::Status CheckIdle() {
    const absl::Time deadline = absl::Now() + options_.patience;
    while (true) {
      FACET_ASSIGN_OR_RETURN(const ServerState state, server_.State());
      if (state.running == 0 && state.waiting == 0 && state.used_pages == 0) {
        return absl::OkStatus();
      }
      if (absl::Now() > deadline) {
        return absl::InternalError(absl::StrCat(
            "left on the server: ", state.running, " running, ", state.waiting,
            " waiting, ", state.used_pages, " pages"));
      }
      absl::SleepFor(absl::Milliseconds(20));
    }
  }

  const ChaosOptions options_;
  const ServedModel& server_;
  const std::vector<TextRequest>& requests_;
  const std::vector<ChaosOutcome>& expected_;
  std::mt19937_64 random_;
  std::unique_ptr<Client> client_;
  std::vector<absl::Duration> recoveries_[kFaultKinds];
  int overlapped_ = 0;

  std::mutex mutex_;
  std::condition_variable changed_;
  bool stop_ = false;
  absl::Status failure_;
  int64_t answered_ = 0;
  int64_t events_ = 0;
  absl::Time last_event_ = absl::Now();
  absl::Duration longest_gap_;  // between events since the last fault
  absl::Time gap_end_;
};

}  // namespace

absl::Status RunChaos(const ChaosOptions& options, const ServedModel& server,
                      const std::vector<TextRequest>& requests,
                      const std::vector<ChaosOutcome>& expected) {
  return Chaos(options, server, requests, expected).Run();
}

}  // namespace facet
