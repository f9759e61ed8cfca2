// How often, and how many at once: the limits of each key. Time is a parameter.
#ifndef FACET_RPC_ACCESS_KEY_LIMITS_H_
#define FACET_RPC_ACCESS_KEY_LIMITS_H_

#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "rpc/access/api_keys.h"

namespace facet {

// What keys have used, by name, so that new limits go on from there. One thread
// at a time.
class KeyLimits {
 public:
  // A request of `key` begins. A key may use a minute's requests at once, and
  // gets them back evenly. Time does not run backwards for it.
  //
  // Errors: RESOURCE_EXHAUSTED with the time to wait where that is known.
  absl::Status Begin(const ApiKey& key, absl::Time now);

  // A request that began has ended.
  void End(const std::string& name);

 private:
  struct Use {
    int running = 0;
    double tokens = 0;  // requests that may begin now
    absl::Time filled = absl::InfinitePast();
  };

  absl::flat_hash_map<std::string, Use> uses_;
};

}  // namespace facet

#endif  // FACET_RPC_ACCESS_KEY_LIMITS_H_
