#include "rpc/cli/byte_size.h"

#include <cmath>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"

namespace facet {

absl::StatusOr<int64_t> ParseByteSize(const std::string& text) {
  const auto malformed = [&] {
    return absl::InvalidArgumentError(absl::StrCat(
        "\"", text, "\" is no size in bytes; write e.g. 512M, 2G or 4096"));
  };
  const std::string upper = absl::AsciiStrToUpper(text);
  absl::string_view rest = upper;
  absl::ConsumeSuffix(&rest, "B");
  const bool binary = absl::ConsumeSuffix(&rest, "I");
  double scale = 1;
  if (!rest.empty()) {
    const size_t power = absl::string_view("KMGT").find(rest.back());
    if (power != absl::string_view::npos) {
      scale = std::pow(1024.0, static_cast<double>(power) + 1);
      rest.remove_suffix(1);
    } else if (binary) {
      return malformed();
    }
  }
  double number = 0;
  if (!absl::SimpleAtod(rest, &number) || !std::isfinite(number)) {
    return malformed();
  }
  const double bytes = number * scale;
  if (!(bytes >= 1 && bytes < 9e18)) return malformed();
  return static_cast<int64_t>(bytes);
}

std::string FormatByteSize(int64_t bytes) {
  if (bytes < 1024) return absl::StrCat(bytes, " B");
  double value = static_cast<double>(bytes);
  const char* const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
  size_t unit = 0;
  while (value >= 1024 && unit + 1 < sizeof(units) / sizeof(units[0])) {
    value /= 1024;
    ++unit;
  }
  return absl::StrFormat(value < 10 ? "%.2f %s" : "%.1f %s", value,
                         units[unit]);
}

}  // namespace facet
