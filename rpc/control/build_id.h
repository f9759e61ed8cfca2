// Which build this process runs. Workers of a cluster run one build, since only
// that promises equal bits.
#ifndef FACET_RPC_CONTROL_BUILD_ID_H_
#define FACET_RPC_CONTROL_BUILD_ID_H_

#include <string>

#include "absl/status/statusor.h"

namespace facet {

inline constexpr char kVersion[] = "0.1";

// The first 16 hex digits of the SHA-256 of this process's executable, or the
// value of FACET_BUILD_ID where the environment has one.
absl::StatusOr<std::string> BuildId();

}  // namespace facet

#endif  // FACET_RPC_CONTROL_BUILD_ID_H_
