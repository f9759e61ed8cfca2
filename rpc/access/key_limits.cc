#include "rpc/access/key_limits.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "rpc/coordinator/retry_after.h"

namespace facet {

absl::Status KeyLimits::Begin(const ApiKey& key, absl::Time now) {
  Use& use = uses_[key.name];
  if (key.concurrent_requests > 0 && use.running >= key.concurrent_requests) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the key \"", key.name, "\" has ", use.running,
                     " requests running, its limit; wait for one to end"));
  }
  if (key.requests_per_minute > 0) {
    const double full = std::max(1.0, key.requests_per_minute);
    const double per_second = key.requests_per_minute / 60;
    if (use.filled == absl::InfinitePast()) {
      use.tokens = full;
      use.filled = now;
    }
    if (now > use.filled) {
      use.tokens += per_second * absl::ToDoubleSeconds(now - use.filled);
      use.filled = now;
    }
    use.tokens = std::min(use.tokens, full);
    if (use.tokens < 1) {
      const absl::Duration wait = absl::Seconds((1 - use.tokens) / per_second);
      return WithRetryAfter(absl::ResourceExhaustedError(absl::StrCat(
                                "the key \"", key.name, "\" may send ",
                                key.requests_per_minute, " requests a minute")),
                            absl::Ceil(wait, absl::Milliseconds(1)));
    }
    use.tokens -= 1;
  } else {
    use.filled = absl::InfinitePast();  // a limit given later starts afresh
  }
  ++use.running;
  return absl::OkStatus();
}

void KeyLimits::End(const std::string& name) {
  const auto found = uses_.find(name);
  if (found != uses_.end() && found->second.running > 0) {
    --found->second.running;
  }
}

}  // namespace facet
