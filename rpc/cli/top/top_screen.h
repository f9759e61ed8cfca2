// What `facet top` shows, as text: a pure function of what the server said.
#ifndef FACET_RPC_CLI_TOP_TOP_SCREEN_H_
#define FACET_RPC_CLI_TOP_TOP_SCREEN_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "nlohmann/json.hpp"
#include "rpc/cli/top/metrics_sample.h"

namespace facet {

struct TopView {
  nlohmann::json cluster;  // as rpc/cli/cluster_json.h gives it
  MetricsSample now;
  MetricsSample before;
  absl::Duration between;  // above 0
};

// `json` as a picture of a cluster. Errors: INVALID_ARGUMENT for what is none.
absl::StatusOr<nlohmann::json> ParseCluster(absl::string_view json);

// Lines that end in a newline. `color`: with the escapes of a terminal.
std::string TopScreen(const TopView& view, bool color);

}  // namespace facet

#endif  // FACET_RPC_CLI_TOP_TOP_SCREEN_H_
