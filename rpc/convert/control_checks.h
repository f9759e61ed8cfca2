// Checks of single numbers that come over the control plane. The bounds are
// ones no honest message reaches; they keep a broken peer from making us
// allocate or loop.
#ifndef FACET_RPC_CONVERT_CONTROL_CHECKS_H_
#define FACET_RPC_CONVERT_CONTROL_CHECKS_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace facet {

inline constexpr int kMaxWorldSize = 1 << 16;
inline constexpr int kMaxCpus = 1 << 16;
inline constexpr int kMaxMostSteps = 256;
inline constexpr int64_t kMaxSliceTokens = 1 << 24;
inline constexpr int64_t kMaxPosition = int64_t{1} << 40;
inline constexpr size_t kMaxName = 4096;
inline constexpr int kMaxTopLogprobs = 64;

// INVALID_ARGUMENT "`field` is `value`, expected `legal`" unless `ok`.
inline absl::Status CheckField(bool ok, const char* field, int64_t value,
                               const char* legal) {
  if (ok) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(field, " is ", value, ", expected ", legal));
}

inline absl::Status CheckNotNegative(int64_t value, const char* field) {
  return CheckField(value >= 0, field, value, "0 or more");
}

inline absl::Status CheckPosition(int64_t value, const char* field) {
  return CheckField(value >= 0 && value <= kMaxPosition, field, value,
                    "0 to 2^40");
}

inline absl::Status CheckName(const std::string& text, const char* field) {
  if (text.size() <= kMaxName) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(field, " has ", text.size(), " bytes, at most ", kMaxName));
}

inline absl::Status CheckCount(int64_t count, int64_t most, const char* field) {
  if (count <= most) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(field, " has ", count, " entries, at most ", most));
}

}  // namespace facet

#endif  // FACET_RPC_CONVERT_CONTROL_CHECKS_H_
