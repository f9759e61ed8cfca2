#include "tests/soak/soak_samples.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace facet {
namespace {

std::string ProcessName(size_t index) {
  return index == 0 ? "coordinator" : absl::StrCat("worker ", index - 1);
}

// Of process `index` in third `third`, in bytes.
double Mean(const std::vector<MemorySample>& samples, size_t index, int third) {
  const size_t begin = samples.size() * third / 3;
  const size_t end = samples.size() * (third + 1) / 3;
  double sum = 0;
  for (size_t i = begin; i < end; ++i) {
    sum += static_cast<double>(samples[i][index]);
  }
  return sum / static_cast<double>(end - begin);
}

}  // namespace

absl::Status CheckFlat(const std::vector<MemorySample>& samples,
                       int64_t tolerance) {
  if (samples.size() < 3) {
    return absl::FailedPreconditionError(
        absl::StrCat("memory: ", samples.size(), " samples, 3 are needed"));
  }
  for (const MemorySample& sample : samples) {
    if (sample.size() != samples[0].size()) {
      return absl::FailedPreconditionError(absl::StrCat(
          "memory: ", samples[0].size(), " processes became ", sample.size()));
    }
  }
  for (size_t i = 0; i < samples[0].size(); ++i) {
    const double before = Mean(samples, i, 1);
    const double after = Mean(samples, i, 2);
    if (after - before <= static_cast<double>(tolerance)) continue;
    return absl::InternalError(absl::StrFormat(
        "memory: %s had %.1f MB in the second third of the run and %.1f MB in "
        "the last; %.1f MB more are allowed",
        ProcessName(i), before / 1e6, after / 1e6, tolerance / 1e6));
  }
  return absl::OkStatus();
}

std::string DescribeMemory(const std::vector<MemorySample>& samples) {
  std::string text;
  if (samples.size() < 3) return text;
  for (size_t i = 0; i < samples[0].size(); ++i) {
    const double after = Mean(samples, i, 2);
    absl::StrAppendFormat(&text, "%s%s %.1f MB (%+.1f)", i == 0 ? "" : ", ",
                          ProcessName(i), after / 1e6,
                          (after - Mean(samples, i, 1)) / 1e6);
  }
  return text;
}

}  // namespace facet
