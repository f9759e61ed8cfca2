// How a client names a request, so that asking for it again does not run it
// again: HTTP's Idempotency-Key, gRPC's request_key.
#ifndef FACET_RPC_COORDINATOR_REQUEST_KEY_H_
#define FACET_RPC_COORDINATOR_REQUEST_KEY_H_

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"

namespace facet {

struct RequestKey {
  std::string owner;  // the name of the caller's API key; empty: there are none
  std::string key;
  std::string body;  // RequestDigest() of all that is asked for
  // When it was first asked for; unset: now.
  std::optional<absl::Time> begun = {};
};

// Errors: INVALID_ARGUMENT, naming `field`, unless `key` is 1 to 255 visible
// ASCII characters.
absl::Status CheckRequestKey(absl::string_view key, absl::string_view field);

// 32 bytes that differ for any two lists of parts (SHA-256).
std::string RequestDigest(absl::Span<const absl::string_view> parts);

// `prefix` and 24 hexadecimal digits that follow from `key` and `number`: an
// answer that is told again has the same ids.
std::string KeyedId(absl::string_view prefix, const RequestKey& key,
                    int number);

}  // namespace facet

#endif  // FACET_RPC_COORDINATOR_REQUEST_KEY_H_
