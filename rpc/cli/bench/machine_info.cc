#include "rpc/cli/bench/machine_info.h"

#include <algorithm>
#include <fstream>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace facet {
namespace {

// Empty when there is no such file.
std::string FirstLine(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

}  // namespace

std::string CpuName() {
  std::ifstream info("/proc/cpuinfo");
  std::string line;
  while (std::getline(info, line)) {
    if (!absl::StartsWith(line, "model name")) continue;
    const size_t colon = line.find(": ");
    if (colon != std::string::npos) return line.substr(colon + 2);
  }
  return "unknown";
}

int64_t LargestCacheBytes() {
  int64_t largest = 0;
  for (int index = 0; index < 8; ++index) {
    std::string size = FirstLine(absl::StrCat(
        "/sys/devices/system/cpu/cpu0/cache/index", index, "/size"));
    int64_t unit = 1;
    if (!size.empty() && size.back() == 'K') unit = int64_t{1} << 10;
    if (!size.empty() && size.back() == 'M') unit = int64_t{1} << 20;
    if (unit > 1) size.pop_back();
    int64_t count = 0;
    if (absl::SimpleAtoi(size, &count))
      largest = std::max(largest, count * unit);
  }
  return largest;
}

double CpuPressureSeconds() {
  // some avg10=0.00 avg60=0.00 avg300=0.00 total=123456
  const std::string some = FirstLine("/proc/pressure/cpu");
  const size_t at = some.find("total=");
  int64_t microseconds = 0;
  if (at == std::string::npos ||
      !absl::SimpleAtoi(some.substr(at + 6), &microseconds)) {
    return -1;
  }
  return static_cast<double>(microseconds) / 1e6;
}

}  // namespace facet
