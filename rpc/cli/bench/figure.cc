#include "rpc/cli/bench/figure.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "kernels/base/check.h"

namespace facet {
namespace {

// Four significant digits, no exponent.
std::string Number(double value) {
  if (value == 0) return "0";
  const int before = static_cast<int>(std::floor(std::log10(std::fabs(value))));
  return absl::StrFormat("%.*f", std::clamp(3 - before, 0, 6), value);
}

}  // namespace

Rate Once(double value) { return {value, value, value}; }

double Percentile(absl::Span<const double> values, double percent) {
  FACET_CHECK(!values.empty());
  std::vector<double> sorted(values.begin(), values.end());
  std::sort(sorted.begin(), sorted.end());
  const auto rank = static_cast<size_t>(
      std::ceil(percent / 100 * static_cast<double>(sorted.size())));
  return sorted[std::clamp<size_t>(rank, 1, sorted.size()) - 1];
}

std::string ToTable(const BenchReport& report) {
  std::string text;
  for (const auto& [name, value] : report.setting) {
    absl::StrAppendFormat(&text, "%-14s %s\n", name, value);
  }
  absl::StrAppendFormat(&text, "\n%-14s %-24s %10s %-9s %-19s %10s %9s\n",
                        "group", "figure", "median", "", "min .. max", "limit",
                        "fraction");
  std::string group;
  for (const Figure& figure : report.figures) {
    const bool spread = figure.value.min != figure.value.max;
    absl::StrAppendFormat(&text, "%-14s %-24s %10s %-9s %-19s",
                          figure.group == group ? "" : figure.group,
                          figure.name, Number(figure.value.median), figure.unit,
                          spread
                              ? absl::StrCat(Number(figure.value.min), " .. ",
                                             Number(figure.value.max))
                              : "");
    if (figure.limit > 0) {
      absl::StrAppendFormat(&text, " %10s %7.1f %%  of %s",
                            Number(figure.limit), 100 * figure.fraction(),
                            figure.limit_name);
    }
    text.erase(text.find_last_not_of(' ') + 1);
    text += '\n';
    group = figure.group;
  }
  if (!report.notes.empty()) text += '\n';
  for (const std::string& note : report.notes) {
    absl::StrAppend(&text, "note: ", note, "\n");
  }
  return text;
}

std::string ToJson(const BenchReport& report) {
  nlohmann::ordered_json json;
  for (const auto& [name, value] : report.setting) {
    json["setting"][name] = value;
  }
  json["figures"] = nlohmann::ordered_json::array();
  for (const Figure& figure : report.figures) {
    nlohmann::ordered_json entry = {
        {"group", figure.group},   {"name", figure.name},
        {"unit", figure.unit},     {"median", figure.value.median},
        {"min", figure.value.min}, {"max", figure.value.max},
    };
    if (figure.limit > 0) {
      entry["limit"] = figure.limit;
      entry["limit_name"] = figure.limit_name;
      entry["fraction"] = figure.fraction();
    }
    if (figure.ratio.median > 0) {
      entry["fraction_min"] = figure.ratio.min;
      entry["fraction_max"] = figure.ratio.max;
    }
    json["figures"].push_back(std::move(entry));
  }
  json["notes"] = report.notes;
  return json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace facet
