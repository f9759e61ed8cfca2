#include "rpc/cli/top/metrics_sample.h"

#include <algorithm>
#include <limits>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace facet {
namespace {

constexpr absl::string_view kPrefix = "facet:";
constexpr double kForever = std::numeric_limits<double>::infinity();

// `labels` without model_name. Label values here have no commas but in a
// model's name, and that is the first one.
std::string Labels(absl::string_view labels) {
  if (absl::ConsumePrefix(&labels, "model_name=\"")) {
    size_t end = 0;
    while (end < labels.size() && labels[end] != '"') {
      end += labels[end] == '\\' ? 2 : 1;
    }
    labels.remove_prefix(std::min(end + 1, labels.size()));
    absl::ConsumePrefix(&labels, ",");
  }
  return labels.empty() ? "" : absl::StrCat("{", labels, "}");
}

}  // namespace

MetricsSample MetricsSample::Parse(absl::string_view text) {
  MetricsSample sample;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    if (!absl::ConsumePrefix(&line, kPrefix)) continue;
    const size_t space = line.rfind(' ');
    double value = 0;
    if (space == absl::string_view::npos ||
        !absl::SimpleAtod(line.substr(space + 1), &value)) {
      continue;
    }
    absl::string_view series = line.substr(0, space);
    const size_t brace = series.find('{');
    std::string name(series.substr(0, brace));
    if (brace != absl::string_view::npos && absl::EndsWith(series, "}")) {
      series.remove_suffix(1);
      name += Labels(series.substr(brace + 1));
    }
    sample.values_[std::move(name)] = value;
  }
  return sample;
}

double MetricsSample::Value(const std::string& name) const {
  const auto found = values_.find(name);
  return found == values_.end() ? 0 : found->second;
}

bool MetricsSample::Has(const std::string& name) const {
  return values_.count(name) > 0;
}

double MetricsSample::Gain(const MetricsSample& before,
                           const std::string& name) const {
  const double now = Value(name), then = before.Value(name);
  return now < then ? now : now - then;
}

std::optional<double> MetricsSample::Quantile(const MetricsSample& before,
                                              const std::string& name,
                                              double share) const {
  const size_t brace = name.find('{');
  const std::string base = absl::StrCat(name.substr(0, brace), "_bucket{");
  std::string labels = brace == std::string::npos ? "" : name.substr(brace + 1);
  if (!labels.empty()) labels.pop_back();
  std::vector<std::pair<double, double>> buckets;  // bound, count up to it
  for (auto one = values_.lower_bound(base);
       one != values_.end() && absl::StartsWith(one->first, base); ++one) {
    const absl::string_view key = one->first;
    if (!labels.empty() && !absl::StrContains(key, labels)) continue;
    const size_t at = key.find("le=\"");
    if (at == absl::string_view::npos) continue;
    const absl::string_view text = key.substr(at + 4);
    double bound = kForever;
    if (!absl::SimpleAtod(text.substr(0, text.find('"')), &bound)) continue;
    buckets.emplace_back(bound, Gain(before, one->first));
  }
  std::sort(buckets.begin(), buckets.end());
  if (buckets.empty() || !(buckets.back().second > 0)) return std::nullopt;
  const double wanted = share * buckets.back().second;
  double low = 0, below = 0;
  for (const auto& [bound, count] : buckets) {
    if (count >= wanted && count > below) {
      if (bound == kForever) return low;
      return low + (bound - low) * (wanted - below) / (count - below);
    }
    low = bound;
    below = count;
  }
  return low;
}

}  // namespace facet
