// What `facet doctor` is told by a server, and how it shows it.
#ifndef FACET_RPC_CLI_DOCTOR_DOCTOR_REPORT_H_
#define FACET_RPC_CLI_DOCTOR_DOCTOR_REPORT_H_

#include <nlohmann/json.hpp>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "rpc/control/diagnosis.h"

namespace facet {

// How long a rank may show no progress until the doctor speaks of it: long
// before it is replaced, and more than the pause between two heartbeats.
absl::Duration DoctorsPatience(const ClusterCondition& cluster);

// {"wrong", "kind", "rank", "verdict", "advice", "epoch", "spares", "step",
//  "step_ms", "ranks": [{"rank", "host", "pid", "state", "heard_ms", "step",
//  "layer", "operation", "waits_for", "since_ms", "calls"}, ...]}
// Absent: what there is none of.
std::string DoctorJson(const ClusterCondition& cluster);

// Errors: INVALID_ARGUMENT for what DoctorJson() did not write.
absl::StatusOr<nlohmann::json> ParseDoctorJson(absl::string_view text);

// A table of the ranks, then the verdict and what to do. `calls`: with the last
// calls of each rank to its peers, a line each. REQUIRES: ParseDoctorJson().
std::string DoctorScreen(const nlohmann::json& report, bool calls);

}  // namespace facet

#endif  // FACET_RPC_CLI_DOCTOR_DOCTOR_REPORT_H_
