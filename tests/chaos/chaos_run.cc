#include "tests/chaos/chaos_run.h"

#include <signal.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <random>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "kernels/base/status_macros.h"
#include "rpc/cli/bench/process_memory.h"
#include "rpc/client/client.h"
#include "tests/chaos/fault.h"

namespace facet {
namespace {

// After so long whoever runs a cluster ends a worker that stands still.
constexpr absl::Duration kOperatorsPatience = absl::Seconds(30);

class Chaos {
 public:
  Chaos(const ChaosOptions& options, ServedModel& server,
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
    if (options_.coordinator && status.ok()) {
      FACET_ASSIGN_OR_RETURN(const ServerState last, server_.State());
      asked_again_ += last.asked_again;
      restored_ += last.restored;
      if (restored_ == 0 || asked_again_ == 0) {
        status = absl::InternalError(
            "no request was gone on with by the next coordinator");
      }
    }
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
      TextRequest request = requests_[which];
      if (options_.coordinator) {
        request.request_key = absl::StrCat("user-", user, "-", random());
      }
      const absl::StatusOr<ChaosOutcome> outcome = Ask(request);
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

  // Asks again as long as it is the way to the server that fails.
  absl::StatusOr<ChaosOutcome> Ask(const TextRequest& request) {
    const absl::Time give_up = absl::Now() + options_.patience;
    while (true) {
      absl::StatusOr<ChaosOutcome> outcome =
          RunRequest(*client_, request, [this] { NoteEvent(); });
      const bool cut = absl::IsUnavailable(outcome.status()) ||
                       absl::IsUnknown(outcome.status());
      if (request.request_key.empty() || !cut || absl::Now() > give_up) {
        return outcome;
      }
      absl::SleepFor(absl::Milliseconds(50));
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
    const absl::Time deadline = absl::Now() + options_.patience;
    std::unique_lock<std::mutex> lock(mutex_);
    bool came = false;
    while (!came && absl::Now() < deadline) {
      came = changed_.wait_for(lock, std::chrono::milliseconds(200), [&] {
        return last_event_ > time || !failure_.ok();
      });
      EndStopped();
    }
    FACET_RETURN_IF_ERROR(failure_);
    if (came) return absl::OkStatus();
    return absl::DeadlineExceededError(
        absl::StrCat("no token for ", absl::FormatDuration(options_.patience)));
  }

  // Worker processes that have a place, or are about to.
  absl::StatusOr<std::vector<pid_t>> Workers() const {
    if (options_.crew == nullptr) return ChildProcesses(server_.pid());
    FACET_ASSIGN_OR_RETURN(const std::string text, server_.Get("/doctor"));
    const auto report = nlohmann::json::parse(text, nullptr, false);
    std::vector<pid_t> pids;
    for (const auto& rank : report.value("ranks", nlohmann::json::array())) {
      const pid_t pid = rank.value("pid", -1);
      if (options_.crew->MachineOf(pid) > 0) pids.push_back(pid);
    }
    return pids;
  }

  // Each once, then most are deaths; a stall takes a timeout to be seen.
  FaultKind NextKind(int number) {
    const bool network = options_.machines != nullptr;
    const int kinds = network ? kWorkerFaults : kProcessFaults;
    if (number < kinds) return static_cast<FaultKind>(number);
    std::discrete_distribution<int> alone({50, 15, 10, 15, 10, 8, 6});
    std::discrete_distribution<int> connected(
        {30, 6, 6, 10, 8, 5, 5, 25, 8, 6});
    return static_cast<FaultKind>((network ? connected : alone)(random_));
  }

  absl::Status InjectFault(FaultKind kind, pid_t victim,
                           const std::vector<pid_t>& workers) {
    if (static_cast<int>(kind) < kProcessFaults) {
      return Inject(kind, victim, options_.pause, random_);
    }
    PacketSwitch& network = options_.machines->network();
    NetworkPath path;
    path.cut = kind == FaultKind::kPartition;
    path.loss = kind == FaultKind::kLoss ? 0.05 : 0;
    if (kind == FaultKind::kLatency) path.delay = absl::Milliseconds(200);
    if (!path.cut) {
      network.SetAll(path);
      absl::SleepFor(options_.pause);
      Heal();
      return absl::OkStatus();
    }
    // To and from it; from it; to it; from it to one peer.
    const int machine = options_.crew->MachineOf(victim);
    const int way = static_cast<int>(random_() % 4);
    std::vector<int> peers;
    for (const pid_t pid : workers) {
      const int peer = options_.crew->MachineOf(pid);
      if (peer > 0 && peer != machine) peers.push_back(peer);
    }
    if (machine < 0 || peers.empty()) return absl::OkStatus();
    if (way == 3) {
      network.Set(machine, peers[random_() % peers.size()], path);
      return absl::OkStatus();
    }
    for (int other = 0; other < options_.machines->count(); ++other) {
      if (way != 2) network.Set(machine, other, path);
      if (way != 1) network.Set(other, machine, path);
    }
    return absl::OkStatus();
  }

  void Heal() {
    if (options_.machines == nullptr) return;
    options_.machines->network().SetAll(NetworkPath());
  }

  // Ends stopped workers, of which there would be ever more: nobody else does.
  void EndStopped() {
    while (!stopped_.empty() && stopped_.front().first < absl::Now()) {
      const pid_t pid = stopped_.front().second;
      stopped_.pop_front();
      if (options_.crew->MachineOf(pid) > 0) kill(pid, SIGKILL);
    }
  }

  static bool Recovers(FaultKind kind) {
    return kind != FaultKind::kPause && kind != FaultKind::kSlow &&
           kind != FaultKind::kLoss && kind != FaultKind::kLatency;
  }

  absl::Status OneFault(int number) {
    const std::optional<FaultKind> of_coordinator = FaultOfCoordinator(number);
    if (of_coordinator.has_value()) {
      return OneFaultOfCoordinator(number, *of_coordinator);
    }
    FACET_ASSIGN_OR_RETURN(const std::vector<pid_t> workers, Workers());
    if (workers.empty()) {  // all of them are being replaced
      absl::SleepFor(absl::Milliseconds(5));
      return absl::OkStatus();
    }
    mending_ = false;
    const FaultKind kind = NextKind(number);
    const pid_t victim = workers[random_() % workers.size()];
    FACET_ASSIGN_OR_RETURN(const ServerState before, server_.State());
    const absl::Time start = absl::Now();
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      longest_gap_ = absl::ZeroDuration();
    }
    const absl::Status injected = InjectFault(kind, victim, workers);
    if (absl::IsPermissionDenied(injected) && options_.skip_forbidden) {
      std::printf("fault %d: %s is forbidden here\n", number, Name(kind));
      return absl::OkStatus();
    }
    FACET_RETURN_IF_ERROR(injected);
    if ((kind == FaultKind::kStall || kind == FaultKind::kWedge) &&
        options_.crew != nullptr) {
      stopped_.emplace_back(absl::Now() + kOperatorsPatience, victim);
    }
    if (number >= kFaultKinds && kind != FaultKind::kPartition &&
        random_() % 6 == 0) {
      // The next comes while this one is being mended.
      absl::SleepFor(absl::Milliseconds(random_() % 300));
      ++overlapped_;
      mending_ = true;
      return absl::OkStatus();
    }
    absl::Duration detection;
    FACET_RETURN_IF_ERROR(AwaitMended(kind, start, before, &detection));
    Rest();
    NoteRecovery(number, kind, victim, start, detection);
    return absl::OkStatus();
  }

  // The first two are certain.
  std::optional<FaultKind> FaultOfCoordinator(int number) {
    if (!options_.coordinator) return std::nullopt;
    if (number == 0) return FaultKind::kCoordinator;
    // A worker that is started meanwhile would keep the limit for ever.
    if (number == 1 && !mending_) return FaultKind::kFullDisk;
    const auto draw = random_() % 100;
    if (draw < 25) return FaultKind::kCoordinator;
    if (draw < 35 && !mending_) return FaultKind::kFullDisk;
    return std::nullopt;
  }

  absl::Status OneFaultOfCoordinator(int number, FaultKind kind) {
    const absl::Time start = absl::Now();
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      longest_gap_ = absl::ZeroDuration();
    }
    const pid_t victim = server_.pid();
    if (kind == FaultKind::kCoordinator) {
      FACET_ASSIGN_OR_RETURN(const ServerState before, server_.State());
      asked_again_ += before.asked_again;
      restored_ += before.restored;
      FACET_RETURN_IF_ERROR(server_.Replace());
      mending_ = false;
    } else {
      FACET_RETURN_IF_ERROR(Inject(kind, victim, options_.pause, random_));
    }
    FACET_RETURN_IF_ERROR(AwaitEvent(absl::Now()));
    Rest();
    NoteRecovery(number, kind, victim, start);
    return absl::OkStatus();
  }

  void Rest() {
    absl::SleepFor(options_.most_between * (random_() % 1000) / 1000);
  }

  void NoteRecovery(int number, FaultKind kind, pid_t victim, absl::Time start,
                    absl::Duration detection = absl::InfiniteDuration()) {
    absl::Duration recovery;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      recovery = gap_end_ - start;
    }
    recoveries_[static_cast<int>(kind)].push_back(recovery);
    std::printf("fault %d: %s of process %d, ", number, Name(kind), victim);
    if (detection < absl::InfiniteDuration()) {
      detections_[static_cast<int>(kind)].push_back(detection);
      std::printf("seen after %.3f s, ", absl::ToDoubleSeconds(detection));
    }
    std::printf("mended after %.3f s\n", absl::ToDoubleSeconds(recovery));
    std::fflush(stdout);
  }

  // Waits until the server has recovered and tokens come again. A connection
  // that breaks may be one that nobody misses. `detection`: until the server
  // knew that a worker was lost, to 10 ms; infinite where none was.
  absl::Status AwaitMended(FaultKind kind, absl::Time start,
                           const ServerState& before,
                           absl::Duration* detection) {
    *detection = absl::InfiniteDuration();
    absl::Time give_up = start + options_.patience;
    if (kind == FaultKind::kReset) give_up = start + absl::Seconds(3);
    if (kind == FaultKind::kPartition) give_up = start + options_.longest_cut;
    absl::Time heal = absl::InfiniteFuture();
    while (Recovers(kind) && absl::Now() < give_up) {
      FACET_ASSIGN_OR_RETURN(const ServerState state, server_.State());
      if (state.losses > before.losses &&
          *detection == absl::InfiniteDuration()) {
        *detection = absl::Now() - start;
        give_up = start + options_.patience;
        // A spare takes the place while the cut lasts, or the old one after.
        heal = absl::Now() + absl::Milliseconds(random_() % 3000);
      }
      if (state.recoveries > before.recoveries) break;
      if (absl::Now() >= heal) Heal();
      EndStopped();
      absl::SleepFor(absl::Milliseconds(10));
    }
    Heal();
    return AwaitEvent(absl::Now());
  }

  void Report() {
    PrintAll("detection", detections_);
    PrintAll("recovery", recoveries_);
    std::printf(
        "%lld answers, %lld events, %d faults during another's repair\n",
        static_cast<long long>(answered_), static_cast<long long>(events_),
        overlapped_);
    if (options_.coordinator) {
      std::printf(
          "%.0f requests asked for again, %.0f gone on with by the next "
          "coordinator\n",
          asked_again_, restored_);
    }
  }

  static void PrintAll(const char* what,
                       std::vector<absl::Duration> (&by_kind)[kFaultKinds]) {
    std::vector<absl::Duration> all;
    for (int kind = 0; kind < kFaultKinds; ++kind) {
      std::vector<absl::Duration>& some = by_kind[kind];
      if (some.empty()) continue;
      all.insert(all.end(), some.begin(), some.end());
      Print(what, Name(static_cast<FaultKind>(kind)), &some);
    }
    if (!all.empty()) Print(what, "all", &all);
  }

  static void Print(const char* what, const char* name,
                    std::vector<absl::Duration>* times) {
    std::sort(times->begin(), times->end());
    const auto quantile = [&](double share) {
      const auto index = static_cast<size_t>(share * (times->size() - 1) + 0.5);
      return absl::ToDoubleSeconds((*times)[index]);
    };
    std::printf("%-9s %-11s n %4zu  p50 %.3f s  p99 %.3f s  most %.3f s\n",
                what, name, times->size(), quantile(0.5), quantile(0.99),
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
  ServedModel& server_;
  const std::vector<TextRequest>& requests_;
  const std::vector<ChaosOutcome>& expected_;
  std::mt19937_64 random_;
  std::unique_ptr<Client> client_;
  std::vector<absl::Duration> recoveries_[kFaultKinds];
  std::vector<absl::Duration> detections_[kFaultKinds];
  int overlapped_ = 0;
  std::deque<std::pair<absl::Time, pid_t>> stopped_;  // and when they end
  bool mending_ = false;  // a worker may be being started
  double asked_again_ = 0;
  double restored_ = 0;

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

absl::Status RunChaos(const ChaosOptions& options, ServedModel& server,
                      const std::vector<TextRequest>& requests,
                      const std::vector<ChaosOutcome>& expected) {
  return Chaos(options, server, requests, expected).Run();
}

}  // namespace facet
