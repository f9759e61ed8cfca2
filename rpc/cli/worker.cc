// `facet worker`: joins a cluster and holds a part of its model.
#include "rpc/worker/worker.h"

#include <cstdlib>

#include "absl/status/status.h"
#include "rpc/cli/duration_flag.h"
#include "rpc/cli/verb.h"

namespace facet {

int RunWorkerVerb(int argc, char** argv) {
  WorkerOptions options;
  std::string join_timeout = "5m";
  const auto app = MakeApp(
      "worker",
      "Joins a coordinator, is told its part of the model, and serves until "
      "told to\nleave. FACET_JOIN_TOKEN is the token of the cluster, if it has "
      "one.",
      "  facet worker --coordinator=10.0.0.1:8002\n"
      "  facet worker --coordinator=10.0.0.1:8002 --join-timeout=30s\n");
  app->add_option("--coordinator", options.coordinator,
                  "HOST:PORT, the --control address of `facet serve`")
      ->required();
  app->add_option("--join-timeout", join_timeout,
                  "How long to keep trying, e.g. 30s or 5m")
      ->capture_default_str();
  app->add_option("--model", options.model_directory,
                  "Where this machine has the model; default: the "
                  "coordinator's path");
  app->add_option("--device", options.device,
                  "cpu; cuda, the first GPU; or cuda:N")
      ->capture_default_str();
  app->add_option("--comm-host", options.comm_host,
                  "Numeric address at which other workers reach this one; "
                  "default: the one it reaches the coordinator from");
  return RunVerb(app.get(), argc, argv, [&]() -> absl::Status {
    absl::Status status = ParseDurationFlag("--join-timeout", join_timeout,
                                            &options.join_timeout);
    if (status.ok()) status = RunWorker(options);
    // The coordinator that started this process tells what went wrong; twice
    // would only confuse.
    if (!status.ok() && std::getenv("FACET_CHILD") != nullptr) {
      std::_Exit(ExitCode(status));
    }
    return status;
  });
}

}  // namespace facet
