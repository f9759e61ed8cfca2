// The keys that open the door, as a file lists them. Values: no clock, no file,
// no thread.
#ifndef FACET_RPC_ACCESS_API_KEYS_H_
#define FACET_RPC_ACCESS_API_KEYS_H_

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace facet {

using KeyDigest = std::array<uint8_t, 32>;

// SHA-256.
KeyDigest DigestOf(absl::string_view key);

struct ApiKey {
  std::string name;  // who it is, for logs; the key itself is never kept
  KeyDigest digest = {};
  double requests_per_minute = 0;  // 0: no limit
  int concurrent_requests = 0;     // 0: no limit
};

// Immutable.
class ApiKeys {
 public:
  // Reads
  //   {"keys": [{"name": "alice", "key": "sk-...", "requests_per_minute": 60,
  //              "concurrent_requests": 4}, ...]}
  // where "sha256", in hex, may stand in place of "key", and limits may be
  // missing.
  //
  // Errors: INVALID_ARGUMENT naming the place, for what is not such a list,
  // unknown fields, keys of less than 16 characters, and two keys or names that
  // are the same. The message never has a key in it.
  static absl::StatusOr<ApiKeys> Parse(absl::string_view json);

  // The key that `presented` is; null: none. Takes as long for a wrong key as
  // for a right one, wherever they begin to differ.
  const ApiKey* Find(absl::string_view presented) const;

  const std::vector<ApiKey>& all() const { return keys_; }

 private:
  std::vector<ApiKey> keys_;
};

}  // namespace facet

#endif  // FACET_RPC_ACCESS_API_KEYS_H_
