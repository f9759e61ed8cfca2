// `facet doctor`: what is wrong with a cluster.
#include <cstdio>
#include <string>

#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "rpc/cli/doctor/doctor_report.h"
#include "rpc/cli/duration_flag.h"
#include "rpc/cli/server_flags.h"
#include "rpc/cli/verb.h"
#include "rpc/client/http_get.h"

namespace facet {
namespace {

struct DoctorFlags {
  ServerFlags server;
  std::string timeout = "5s";
  bool calls = false;
  bool json = false;
};

absl::Status Doctor(const DoctorFlags& flags, bool* wrong) {
  absl::Duration timeout;
  FACET_RETURN_IF_ERROR(
      ParseDurationFlag("--timeout", flags.timeout, &timeout));
  ClientCredentials credentials = flags.server.credentials;
  FACET_ASSIGN_OR_RETURN(credentials.api_key, ApiKeyOf(flags.server));
  FACET_ASSIGN_OR_RETURN(
      const std::string text,
      HttpGet(flags.server.server, "/doctor", credentials, timeout));
  FACET_ASSIGN_OR_RETURN(const nlohmann::json report, ParseDoctorJson(text));
  const std::string shown =
      flags.json ? text : DoctorScreen(report, flags.calls);
  std::fputs(shown.c_str(), stdout);
  *wrong = report["wrong"].get<bool>();
  return absl::OkStatus();
}

}  // namespace

int RunDoctor(int argc, char** argv) {
  DoctorFlags flags;
  flags.server.server = "127.0.0.1:8000";
  const auto app = MakeApp(
      "doctor",
      "Says what is wrong with a cluster: who is silent, who stands still "
      "while the others wait,\nwho is only slow, and what to do. Asks the "
      "server's HTTP address, which answers while steps hang.\n\n"
      "  waits for  the rank that has to act first; follow it to the cause\n"
      "  since      without a byte from that rank, or in this step\n"
      "  heard      its last message to the coordinator\n\n"
      "Exits with 0 when all is well, 1 when something is wrong or the server "
      "does not answer.",
      "  facet doctor\n"
      "  facet doctor --server=10.0.0.1:8000 --calls\n"
      "  facet doctor --json\n");
  AddServerFlags(app.get(), &flags.server);
  app->add_option("--timeout", flags.timeout,
                  "How long to wait for the server, at each step of asking")
      ->capture_default_str();
  app->add_flag("--calls", flags.calls,
                "The last calls of each rank to its peers, too: side by side "
                "they show who made another call, or none");
  app->add_flag("--json", flags.json, "The report as the server gives it");
  bool wrong = false;
  const int code =
      RunVerb(app.get(), argc, argv, [&] { return Doctor(flags, &wrong); });
  return code == kExitDone && wrong ? kExitFailed : code;
}

}  // namespace facet
