// Durations on the command line.
#ifndef FACET_RPC_CLI_DURATION_FLAG_H_
#define FACET_RPC_CLI_DURATION_FLAG_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"

namespace facet {

// "30s", "5m", "1h30m", "250ms"; a bare number is seconds.
//
// Errors: INVALID_ARGUMENT naming `flag`.
inline absl::Status ParseDurationFlag(const char* flag, const std::string& text,
                                      absl::Duration* duration) {
  double seconds = 0;
  if (absl::SimpleAtod(text, &seconds)) {
    *duration = absl::Seconds(seconds);
  } else if (!absl::ParseDuration(text, duration)) {
    return absl::InvalidArgumentError(absl::StrCat(
        flag, ": \"", text, "\" is no duration; write e.g. 30s or 5m"));
  }
  if (*duration < absl::ZeroDuration()) {
    return absl::InvalidArgumentError(
        absl::StrCat(flag, ": \"", text, "\" is negative"));
  }
  return absl::OkStatus();
}

}  // namespace facet

#endif  // FACET_RPC_CLI_DURATION_FLAG_H_
