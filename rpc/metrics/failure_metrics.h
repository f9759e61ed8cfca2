// What a cluster measures of its losses, beside what the engine measures in
// serving_metrics.h; docs/metrics.md lists both.
#ifndef FACET_RPC_METRICS_FAILURE_METRICS_H_
#define FACET_RPC_METRICS_FAILURE_METRICS_H_

#include <memory>
#include <string>

#include "absl/time/time.h"

namespace facet {

// Safe from several threads.
class FailureMetrics {
 public:
  explicit FailureMetrics(const std::string& model_name);
  ~FailureMetrics();

  // Workers were lost that ran, and it took `detection` to be seen.
  void WorkersLost(absl::Duration detection);

  // In Prometheus' text format, version 0.0.4.
  std::string Text() const;

 private:
  struct Series;
  const std::unique_ptr<Series> series_;
};

}  // namespace facet

#endif  // FACET_RPC_METRICS_FAILURE_METRICS_H_
