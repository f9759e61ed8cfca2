// `facet top`: how a server does, as it changes.
#include <unistd.h>

#include <cstdio>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "kernels/base/status_macros.h"
#include "rpc/cli/duration_flag.h"
#include "rpc/cli/server_flags.h"
#include "rpc/cli/top/top_screen.h"
#include "rpc/cli/verb.h"
#include "rpc/client/http_get.h"

namespace facet {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(10);

struct TopFlags {
  ServerFlags server;
  std::string interval = "1s";
  bool once = false;
};

class Top {
 public:
  explicit Top(const TopFlags& flags, absl::Duration interval,
               ClientCredentials credentials)
      : flags_(flags),
        interval_(interval),
        credentials_(std::move(credentials)),
        terminal_(isatty(STDOUT_FILENO) == 1) {}

  absl::Status Run() {
    FACET_RETURN_IF_ERROR(Look());
    for (;;) {
      absl::SleepFor(interval_);
      const absl::Status looked = Look();
      // At a terminal a server that is gone for a while need not end all.
      if (!looked.ok() && (!terminal_ || flags_.once)) return looked;
      Show(looked);
      if (flags_.once || !terminal_) return absl::OkStatus();
    }
  }

 private:
  // Asks for everything; before_ is what was there.
  absl::Status Look() {
    FACET_ASSIGN_OR_RETURN(const std::string cluster, Get("/cluster"));
    FACET_ASSIGN_OR_RETURN(view_.cluster, ParseCluster(cluster));
    FACET_ASSIGN_OR_RETURN(const std::string metrics, Get("/metrics"));
    const absl::Time now = absl::Now();
    view_.before = std::exchange(view_.now, MetricsSample::Parse(metrics));
    view_.between = now - std::exchange(looked_, now);
    return absl::OkStatus();
  }

  absl::StatusOr<std::string> Get(const std::string& path) const {
    return HttpGet(flags_.server.server, path, credentials_, kPatience);
  }

  void Show(const absl::Status& looked) const {
    std::string text = looked.ok()
                           ? TopScreen(view_, terminal_)
                           : absl::StrCat(std::string(looked.message()), "\n");
    // From the top of the screen, each line cleared first.
    if (terminal_ && !flags_.once) text = absl::StrCat("\033[H\033[2J", text);
    std::fputs(text.c_str(), stdout);
    std::fflush(stdout);
  }

  const TopFlags& flags_;
  const absl::Duration interval_;
  const ClientCredentials credentials_;
  const bool terminal_;
  TopView view_;
  absl::Time looked_ = absl::InfinitePast();
};

absl::Status RunTopVerb(const TopFlags& flags) {
  absl::Duration interval;
  FACET_RETURN_IF_ERROR(
      ParseDurationFlag("--interval", flags.interval, &interval));
  if (interval < absl::Milliseconds(100)) {
    return absl::InvalidArgumentError("--interval: at least 100ms");
  }
  ClientCredentials credentials = flags.server.credentials;
  FACET_ASSIGN_OR_RETURN(credentials.api_key, ApiKeyOf(flags.server));
  return Top(flags, interval, std::move(credentials)).Run();
}

}  // namespace

int RunTop(int argc, char** argv) {
  TopFlags flags;
  flags.server.server = "127.0.0.1:8000";
  const auto app = MakeApp(
      "top",
      "Shows how a server does: requests, tokens, latencies, K/V pages, and "
      "each rank.\nAsks its HTTP address. Goes on at a terminal, otherwise "
      "prints one interval.",
      "  facet top\n"
      "  facet top --server=10.0.0.1:8000 --interval=5s\n"
      "  facet top --once\n");
  AddServerFlags(app.get(), &flags.server);
  app->add_option("--interval", flags.interval, "Time between looks")
      ->capture_default_str();
  app->add_flag("--once", flags.once, "Print one interval and leave");
  return RunVerb(app.get(), argc, argv, [&] { return RunTopVerb(flags); });
}

}  // namespace facet
