// Lets workers fall under load and compares every answer with that of a server
// of one process.
//
//   bazel run //tests/chaos -- --faults=70 --tp=2 --pp=2
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "tests/chaos/chaos_run.h"
#include "tests/chaos/machines.h"
#include "tests/chaos/worker_crew.h"

namespace facet {
namespace {

struct Flags {
  std::string facet = "rpc/cli/facet";
  std::string model = "deploy/demo-model";
  int tp = 2;
  int pp = 1;
  int requests = 18;
  int max_tokens = 200;
  double pause_seconds = 1;
  double heartbeat_timeout = 5;
  double stall_timeout = 10;
  bool network = false;
  int spares = 1;
  double shrink_after = 0;
};

std::string Folder() {
  const char* folder = std::getenv("TEST_TMPDIR");
  return folder != nullptr ? folder
                           : std::filesystem::temp_directory_path().string();
}

absl::StatusOr<std::unique_ptr<ServedModel>> Serve(
    const Flags& flags, const std::vector<std::string>& more,
    const std::string& control = "127.0.0.1:0") {
  ServedModelOptions options;
  options.facet = flags.facet;
  options.folder = Folder();
  options.flags = {absl::StrCat("--model=", flags.model), "--kv-memory=16M",
                   "--threads=1", "--max-sequences=16"};
  options.flags.insert(options.flags.end(), more.begin(), more.end());
  options.control = control;
  return ServedModel::Start(options);
}

absl::Status Run(const Flags& flags, ChaosOptions options) {
  std::unique_ptr<Machines> machines;
  if (flags.network) {
    // The coordinator's, one a worker, and the spares'.
    auto made = Machines::Create(1 + flags.tp * flags.pp + flags.spares);
    if (!made.ok() && options.skip_forbidden) {
      std::printf("no machines here: %s\n", made.status().ToString().c_str());
      return absl::OkStatus();
    }
    FACET_RETURN_IF_ERROR(made.status());
    machines = *std::move(made);
    options.machines = machines.get();
  }
  const std::vector<TextRequest> requests =
      ChaosRequests(flags.requests, flags.max_tokens);
  std::vector<ChaosOutcome> expected;
  {
    FACET_ASSIGN_OR_RETURN(const auto server, Serve(flags, {"--workers=1"}));
    FACET_ASSIGN_OR_RETURN(const auto client,
                           ConnectToServer(server->grpc(), absl::Minutes(1)));
    for (const TextRequest& request : requests) {
      FACET_ASSIGN_OR_RETURN(ChaosOutcome outcome,
                             RunRequest(*client, request, [] {}));
      expected.push_back(std::move(outcome));
    }
    FACET_RETURN_IF_ERROR(server->Stop());
  }
  std::printf("tp %d, pp %d\n", flags.tp, flags.pp);
  std::vector<std::string> more = {
      absl::StrCat("--tp=", flags.tp),
      absl::StrCat("--pp=", flags.pp),
      absl::StrCat("--heartbeat-timeout=", flags.heartbeat_timeout, "s"),
      absl::StrCat("--stall-timeout=", flags.stall_timeout, "s"),
      absl::StrCat("--step-timeout=", 3 * flags.stall_timeout, "s"),
      "--heartbeat-interval=500ms"};
  if (options.coordinator) {
    const std::string journal = Folder() + "/chaos_journal";
    std::filesystem::remove(journal);
    more.push_back(absl::StrCat("--journal=", journal));
    more.push_back("--journal-size=1M");
    more.push_back("--resume-time=5m");
  }
  std::string control = "127.0.0.1:0";
  std::unique_ptr<WorkerCrew> crew;
  if (machines != nullptr) {
    control = Machines::Address(0) + ":7801";
    more.push_back(absl::StrCat("--expect-workers=", flags.tp * flags.pp));
    more.push_back("--insecure-control");
    if (flags.shrink_after > 0) {
      more.push_back(absl::StrCat("--shrink-after=", flags.shrink_after, "s"));
    }
    FACET_ASSIGN_OR_RETURN(
        crew, WorkerCrew::Start(machines.get(),
                                std::filesystem::absolute(flags.facet).string(),
                                control));
    options.crew = crew.get();
  }
  FACET_ASSIGN_OR_RETURN(const auto server, Serve(flags, more, control));
  FACET_RETURN_IF_ERROR(RunChaos(options, *server, requests, expected));
  return server->Stop();
}

int Main(int argc, char** argv) {
  Flags flags;
  ChaosOptions options;
  CLI::App app("Workers fall under load, and no answer may differ.");
  app.add_option("--facet", flags.facet, "The executable")
      ->capture_default_str();
  app.add_option("--model", flags.model, "Its directory")
      ->capture_default_str();
  app.add_option("--tp", flags.tp, "Of the cluster")->capture_default_str();
  app.add_option("--pp", flags.pp, "Of the cluster")->capture_default_str();
  app.add_option("--faults", options.faults, "How many")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--users", options.users, "At once")
      ->check(CLI::Range(1, 60))
      ->capture_default_str();
  app.add_option("--seed", options.seed, "Of what befalls whom")
      ->capture_default_str();
  app.add_option("--requests", flags.requests, "Different ones")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--max-tokens", flags.max_tokens, "Of an answer")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--pause-seconds", flags.pause_seconds,
                 "How long a worker stands still that goes on")
      ->capture_default_str();
  app.add_option("--heartbeat-timeout", flags.heartbeat_timeout,
                 "Seconds of silence after which a worker is replaced")
      ->capture_default_str();
  app.add_flag("--coordinator", options.coordinator,
               "Let the coordinator fall too, and fill its disk");
  app.add_option("--stall-timeout", flags.stall_timeout,
                 "Seconds without progress after which one is")
      ->capture_default_str();
  app.add_flag("--network", flags.network,
               "Workers on machines of their own, made of namespaces, whose "
               "network is cut, slow and lossy besides");
  app.add_option("--spares", flags.spares, "More of them than there are places")
      ->check(CLI::Range(0, 8))
      ->capture_default_str();
  app.add_option("--shrink-after", flags.shrink_after,
                 "With --network: seconds after which those that are left go "
                 "on alone; 0: the server's own")
      ->capture_default_str();
  app.add_flag("--skip-forbidden", options.skip_forbidden,
               "Leave out faults that this system forbids");
  CLI11_PARSE(app, argc, argv);
  options.pause = absl::Seconds(flags.pause_seconds);
  const absl::Status status = Run(flags, options);
  if (!status.ok()) {
    std::fprintf(stderr, "FAILED: %s\n", status.ToString().c_str());
    return 1;
  }
  std::printf("PASSED\n");
  return 0;
}

}  // namespace
}  // namespace facet

int main(int argc, char** argv) { return facet::Main(argc, argv); }
