// `facet worker`: joins a cluster and holds a part of its model.
#include "rpc/worker/worker.h"

#include <cstdlib>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "rpc/cli/duration_flag.h"
#include "rpc/cli/group_environment.h"
#include "rpc/cli/verb.h"
#include "rpc/cli/worker_pod.h"
#include "runtime/executor/rank_device.h"

namespace facet {
namespace {

struct WorkerFlags {
  WorkerOptions worker;
  std::string join_timeout = "5m";
  int control_port = 8002;
  int workers = 1;
  std::string health = "off";
  std::string grace = "0s";
};

// Where the coordinator is, when nobody says.
absl::Status FindCoordinator(const WorkerFlags& flags, std::string* address) {
  if (!address->empty()) return absl::OkStatus();
  const absl::StatusOr<GroupEnvironment> group = ReadGroupEnvironment();
  if (absl::IsNotFound(group.status())) {
    return absl::InvalidArgumentError(
        "--coordinator is required: HOST:PORT, the --control address of `facet "
        "serve` (in a LeaderWorkerSet, LWS_LEADER_ADDRESS says it)");
  }
  FACET_RETURN_IF_ERROR(group.status());
  *address = absl::StrCat(group->leader, ":", flags.control_port);
  return absl::OkStatus();
}

absl::Status RunPod(const WorkerFlags& flags, absl::Duration grace) {
  WorkerPodOptions pod;
  pod.workers = flags.workers;
  pod.device = flags.worker.device;
  pod.health = flags.health;
  pod.grace = grace;
  pod.worker_argv = {"facet", "worker",
                     absl::StrCat("--coordinator=", flags.worker.coordinator),
                     absl::StrCat("--join-timeout=", flags.join_timeout)};
  if (!flags.worker.model_directory.empty()) {
    pod.worker_argv.push_back(
        absl::StrCat("--model=", flags.worker.model_directory));
  }
  if (!flags.worker.comm_host.empty()) {
    pod.worker_argv.push_back(
        absl::StrCat("--comm-host=", flags.worker.comm_host));
  }
  if (flags.worker.grow) pod.worker_argv.push_back("--grow");
  const TrustFiles& trust = flags.worker.trust;
  if (!trust.empty()) {
    pod.worker_argv.push_back(
        absl::StrCat("--control-tls-ca=", trust.authority));
    pod.worker_argv.push_back(
        absl::StrCat("--control-tls-cert=", trust.certificate));
    pod.worker_argv.push_back(absl::StrCat("--control-tls-key=", trust.key));
  }
  return RunWorkerPod(pod);
}

absl::Status Run(WorkerFlags flags) {
  FACET_RETURN_IF_ERROR(ParseDurationFlag("--join-timeout", flags.join_timeout,
                                          &flags.worker.join_timeout));
  absl::Duration grace;
  FACET_RETURN_IF_ERROR(ParseDurationFlag("--grace", flags.grace, &grace));
  FACET_RETURN_IF_ERROR(FindCoordinator(flags, &flags.worker.coordinator));
  if (flags.workers < 1) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--workers: ", flags.workers, " is out of range, at least 1"));
  }
  if (flags.workers > 1 && absl::StartsWith(flags.worker.device, "cuda:")) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--device=", flags.worker.device, " is one GPU for ", flags.workers,
        " workers; --device=cuda gives each its own"));
  }
  FACET_RETURN_IF_ERROR(ParseDevice(flags.worker.device, 0).status());
  if (flags.workers > 1 || flags.health != "off" ||
      grace > absl::ZeroDuration()) {
    return RunPod(flags, grace);
  }
  return RunWorker(flags.worker);
}

}  // namespace

int RunWorkerVerb(int argc, char** argv) {
  WorkerFlags flags;
  WorkerOptions& options = flags.worker;
  const auto app = MakeApp(
      "worker",
      "Joins a coordinator, is told its part of the model, and serves until "
      "told to\nleave. FACET_JOIN_TOKEN is the token of the cluster, if it has "
      "one. Several\nworkers, a health port or a grace time make this the "
      "parent of its workers: it\nstarts again those that fail.",
      "  facet worker --coordinator=10.0.0.1:8002\n"
      "  facet worker --coordinator=10.0.0.1:8002 --join-timeout=30s\n"
      "  facet worker --coordinator=10.0.0.1:8002 --workers=4 --device=cuda\n");
  app->add_option("--coordinator", options.coordinator,
                  "HOST:PORT, the --control address of `facet serve`; default: "
                  "the leader that LWS_LEADER_ADDRESS names");
  app->add_option("--control-port", flags.control_port,
                  "Port of a coordinator that LWS_LEADER_ADDRESS names")
      ->capture_default_str();
  app->add_option("--join-timeout", flags.join_timeout,
                  "How long to keep trying, e.g. 30s or 5m")
      ->capture_default_str();
  app->add_option(
      "--control-tls-ca", options.trust.authority,
      "The cluster's authority, a PEM file; with --control-tls-cert and "
      "--control-tls-key, and then the coordinator has to show its own");
  app->add_option("--control-tls-cert", options.trust.certificate,
                  "This worker's certificate");
  app->add_option("--control-tls-key", options.trust.key, "And its key");
  app->add_option("--model", options.model_directory,
                  "Where this machine has the model; default: the "
                  "coordinator's path");
  app->add_option("--device", options.device,
                  "cpu; cuda, the first GPU, or worker i on GPU i; or cuda:N")
      ->capture_default_str();
  app->add_option("--comm-host", options.comm_host,
                  "Numeric address at which other workers reach this one; "
                  "default: the one it reaches the coordinator from");
  app->add_option("--workers", flags.workers, "So many workers, a process each")
      ->capture_default_str();
  app->add_flag("--grow", options.grow,
                "Where no place is empty, ask for a plan with one more worker, "
                "between two steps; otherwise wait as a spare");
  app->add_option("--health", flags.health,
                  "HOST:PORT of a gRPC health service for probes; or off")
      ->capture_default_str();
  app->add_option("--grace", flags.grace,
                  "After SIGTERM, how long to go on for a coordinator that "
                  "finishes what runs")
      ->capture_default_str();
  AddConfigFlag(app.get());
  return RunVerb(app.get(), argc, argv, [&]() -> absl::Status {
    const absl::Status status = Run(flags);
    // The coordinator that started this process tells what went wrong; twice
    // would only confuse.
    if (!status.ok() && std::getenv("FACET_CHILD") != nullptr) {
      std::_Exit(ExitCode(status));
    }
    return status;
  });
}

}  // namespace facet
