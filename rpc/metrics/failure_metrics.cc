#include "rpc/metrics/failure_metrics.h"

#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <algorithm>

namespace facet {
namespace {

// From an exit that its parent sees to the longest of timeouts.
prometheus::Histogram::BucketBoundaries DetectionBuckets() {
  return {0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300};
}

}  // namespace

struct FailureMetrics::Series {
  explicit Series(const std::string& model_name)
      : detection(
            prometheus::BuildHistogram()
                .Name("facet:failure_detection_seconds")
                .Help("From the last sign of a lost worker to its being known "
                      "as lost.")
                .Labels({{"model_name", model_name}})
                .Register(registry)
                .Add({}, DetectionBuckets())) {}

  prometheus::Registry registry;
  prometheus::Histogram& detection;
};

FailureMetrics::FailureMetrics(const std::string& model_name)
    : series_(std::make_unique<Series>(model_name)) {}

FailureMetrics::~FailureMetrics() = default;

void FailureMetrics::WorkersLost(absl::Duration detection) {
  series_->detection.Observe(std::max(absl::ToDoubleSeconds(detection), 0.0));
}

std::string FailureMetrics::Text() const {
  return prometheus::TextSerializer().Serialize(series_->registry.Collect());
}

}  // namespace facet
