#include "rpc/worker/worker.h"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "kernels/base/status_macros.h"
#include "kernels/base/topology.h"
#include "rpc/control/build_id.h"
#include "rpc/control/listen_address.h"
#include "rpc/worker/coordinator_link.h"
#include "rpc/worker/local_address.h"
#include "rpc/worker/signal_watcher.h"
#include "rpc/worker/worker_session.h"

namespace facet {
namespace {

std::string Environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

std::string Hostname() {
  char name[256] = "";
  if (gethostname(name, sizeof(name) - 1) != 0) return "unknown host";
  return name;
}

absl::StatusOr<WorkerRegistration> DescribeThisWorker(
    const WorkerParts& parts) {
  WorkerRegistration out;
  out.join_token = Environment("FACET_JOIN_TOKEN");
  FACET_ASSIGN_OR_RETURN(out.build_id, BuildId());
  FACET_ASSIGN_OR_RETURN(out.isa, parts.isa());
  out.device = parts.device;
  for (Activations activations : {Activations::kF32, Activations::kBF16}) {
    for (KvFormat kv_format : {KvFormat::kF32, KvFormat::kBF16}) {
      NumericsOptions numerics = {activations, kv_format};
      out.modes.push_back({numerics, parts.numerics_mode(numerics)});
      if (activations == Activations::kF32) continue;
      numerics.fast = true;
      out.modes.push_back({numerics, parts.numerics_mode(numerics)});
    }
  }
  out.hostname = Hostname();
  out.cpus = CoreCpus();
  out.memory_bytes =
      int64_t{sysconf(_SC_PHYS_PAGES)} * int64_t{sysconf(_SC_PAGESIZE)};
  out.pid = getpid();
  return out;
}

// Hands the signal to the session, if there is one.
class Departure {
 public:
  void Ask(const std::string& reason) {
    std::lock_guard<std::mutex> lock(mutex_);
    reason_ = reason;
    if (session_ == nullptr) return;
    // Loading cannot be cut short and there is no step to finish.
    if (session_->loading()) std::_Exit(0);
    session_->Leave(reason);
  }
  bool asked() const {
    std::lock_guard<std::mutex> lock(mutex_);
    return !reason_.empty();
  }
  void SetSession(WorkerSession* session) {
    std::lock_guard<std::mutex> lock(mutex_);
    session_ = session;
    if (session != nullptr && !reason_.empty()) session->Leave(reason_);
  }

 private:
  mutable std::mutex mutex_;
  std::string reason_;
  WorkerSession* session_ = nullptr;
};

// It lies with others that the worker's part in a world is over: it may have
// one in the next. So may one that had a part before and was given one that is
// too large for it.
bool MayComeBack(const absl::Status& status, bool had_a_part) {
  return status.code() == absl::StatusCode::kUnavailable ||
         status.code() == absl::StatusCode::kDeadlineExceeded ||
         (had_a_part && status.code() == absl::StatusCode::kResourceExhausted);
}

// One world after the other, over a stream each.
absl::Status JoinAndServe(const WorkerOptions& options,
                          const WorkerParts& parts, Departure& departure) {
  absl::Time deadline = absl::Now() + options.join_timeout;
  std::unique_ptr<RankRunner> rank;
  WorkerSessionOptions session_options;
  FACET_ASSIGN_OR_RETURN(session_options.registration,
                         DescribeThisWorker(parts));
  session_options.registration.grow = options.grow;
  session_options.model_directory = options.model_directory;
  session_options.own_process = options.own_process;
  if (options.own_process && std::getenv("FACET_CHILD") == nullptr) {
    session_options.report = [](const std::string& line) {
      std::fprintf(stderr, "facet worker: %s\n", line.c_str());
    };
  }
  if (options.own_process) {
    // Whoever started this process can start another.
    session_options.on_stuck = [](const std::string& why) {
      std::fprintf(stderr, "facet worker: %s; leaving\n", why.c_str());
      std::_Exit(1);
    };
  }

  while (true) {
    FACET_ASSIGN_OR_RETURN(
        const std::unique_ptr<CoordinatorLink> link,
        ConnectToCoordinator(options.coordinator, options.trust, deadline,
                             [&] { return departure.asked(); }));
    std::string host = options.comm_host;
    if (host.empty()) {
      FACET_ASSIGN_OR_RETURN(host, LocalAddressTowards(options.coordinator));
    }
    FACET_ASSIGN_OR_RETURN(CommPort port, parts.listen(host));
    session_options.registration.endpoint = port.endpoint;

    const bool had_a_part = session_options.registration.held_rank >= 0;
    WorkerSession session(link.get(), &parts, session_options, std::move(rank));
    departure.SetSession(&session);
    const absl::Status status = session.Run(std::move(port));
    departure.SetSession(nullptr);
    if (departure.asked() || !MayComeBack(status, had_a_part)) return status;
    rank = session.TakeRunner();
    if (session.rank() >= 0) {
      session_options.registration.held_rank = session.rank();
    }
    if (session.accepted()) {
      deadline = absl::Now() + options.join_timeout;
      continue;
    }
    // A coordinator that went away before it said anything may be starting.
    if (absl::Now() >= deadline) return status;
    absl::SleepFor(absl::Milliseconds(200));
  }
}

}  // namespace

absl::Status RunWorker(const WorkerOptions& options, const WorkerParts& parts) {
  if (!absl::StartsWith(options.coordinator, "unix:")) {
    FACET_RETURN_IF_ERROR(
        Annotate(ParseHostPort(options.coordinator).status(), "coordinator"));
  }
  Departure departure;
  std::unique_ptr<SignalWatcher> signals;
  if (options.own_process) {
    signals = std::make_unique<SignalWatcher>([&](const std::string& name) {
      departure.Ask(absl::StrCat("it received ", name));
    });
  }
  const absl::Status status = JoinAndServe(options, parts, departure);
  if (departure.asked() && status.code() == absl::StatusCode::kCancelled) {
    return absl::OkStatus();
  }
  return status;
}

}  // namespace facet
