// What a server's /metrics said at one time, and what that means beside an
// earlier one.
#ifndef FACET_RPC_CLI_TOP_METRICS_SAMPLE_H_
#define FACET_RPC_CLI_TOP_METRICS_SAMPLE_H_

#include <map>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"

namespace facet {

class MetricsSample {
 public:
  MetricsSample() = default;
  // Prometheus' text format. Lines that are none are left out; so is the label
  // model_name, which all series share.
  static MetricsSample Parse(absl::string_view text);

  // Of the series `name`, e.g. kv_pages{pool="global",state="used"}, whose
  // prefix "facet:" goes without saying; 0 where there is none.
  double Value(const std::string& name) const;
  bool Has(const std::string& name) const;

  // By how much it is more than in `before`; what was set back counts from 0.
  double Gain(const MetricsSample& before, const std::string& name) const;

  // Of what the histogram `name` (with labels or without) gained since
  // `before`, the value below which `share` lies, interpolated in its bucket;
  // none where it gained nothing.
  std::optional<double> Quantile(const MetricsSample& before,
                                 const std::string& name, double share) const;

 private:
  std::map<std::string, double> values_;
};

}  // namespace facet

#endif  // FACET_RPC_CLI_TOP_METRICS_SAMPLE_H_
