// How long a refused request should wait, carried by the status that refuses it
// to whichever protocol tells the client.
#ifndef FACET_RPC_COORDINATOR_RETRY_AFTER_H_
#define FACET_RPC_COORDINATOR_RETRY_AFTER_H_

#include <optional>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace facet {

// `status` with the hint; it is not OK.
absl::Status WithRetryAfter(absl::Status status, absl::Duration wait);

// The hint, if it has one.
std::optional<absl::Duration> RetryAfter(const absl::Status& status);

}  // namespace facet

#endif  // FACET_RPC_COORDINATOR_RETRY_AFTER_H_
