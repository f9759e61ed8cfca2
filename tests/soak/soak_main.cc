// Serves the demo model over two workers and keeps all kinds of users on it for
// a while. Exit code 0 when every condition of RunSoak() holds.
//
//   bazel run -c opt //tests/soak -- --minutes=30 --seed=1
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "tests/soak/served_model.h"
#include "tests/soak/soak_run.h"

namespace facet {
namespace {

struct Flags {
  std::string model = "deploy/demo-model";
  std::vector<std::string> serve = {"--workers=2", "--threads=1",
                                    "--kv-memory=8M", "--max-sequences=24",
                                    "--max-queue=48"};
  double minutes = 30;
  double sample_seconds = 5;
  double memory_mb = 4;
};

absl::Status Run(const Flags& flags, SoakOptions soak) {
  ServedModelOptions options;
  options.facet = soak.facet = std::filesystem::absolute(soak.facet);
  options.flags = flags.serve;
  options.flags.push_back(absl::StrCat("--model=", flags.model));
  const char* const folder = std::getenv("TEST_TMPDIR");
  options.folder = folder != nullptr
                       ? folder
                       : std::filesystem::temp_directory_path().string();
  FACET_ASSIGN_OR_RETURN(const auto server, ServedModel::Start(options));
  soak.duration = absl::Minutes(flags.minutes);
  soak.sample_every = absl::Seconds(flags.sample_seconds);
  soak.memory_tolerance = static_cast<int64_t>(flags.memory_mb * 1e6);
  FACET_RETURN_IF_ERROR(RunSoak(soak, *server));
  return server->Stop();
}

int Main(int argc, char** argv) {
  Flags flags;
  SoakOptions soak;
  soak.facet = "rpc/cli/facet";
  CLI::App app("All kinds of users on one server for a while.");
  app.add_option("--facet", soak.facet, "The executable")
      ->capture_default_str();
  app.add_option("--model", flags.model, "Its directory")
      ->capture_default_str();
  app.add_option("--serve", flags.serve, "Flags of `facet serve`")
      ->capture_default_str();
  app.add_option("--minutes", flags.minutes, "How long")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--seed", soak.seed, "Of what users do")
      ->capture_default_str();
  app.add_option("--users", soak.users, "At once")
      ->check(CLI::Range(1, 60))
      ->capture_default_str();
  app.add_option("--sample-seconds", flags.sample_seconds, "Between samples")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--memory-mb", flags.memory_mb,
                 "How much more memory each process may hold in the last third")
      ->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  const absl::Status status = Run(flags, soak);
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
