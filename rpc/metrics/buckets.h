// Where histograms are cut. Those of metrics that vLLM has too are vLLM's own,
// since a dashboard's quantiles depend on them.
#ifndef FACET_RPC_METRICS_BUCKETS_H_
#define FACET_RPC_METRICS_BUCKETS_H_

#include <cstdint>
#include <vector>

namespace facet {

using Buckets = std::vector<double>;

// 1, 2, 5, 10, 20, 50, ... up to `most`; at least {1}.
inline Buckets TokenBuckets(int64_t most) {
  Buckets result = {1};
  for (int64_t decade = 1;; decade *= 10) {
    for (const int64_t digit : {2, 5, 10}) {
      if (decade > most / digit) return result;
      result.push_back(static_cast<double>(digit * decade));
    }
  }
}

inline Buckets StepTokenBuckets() {
  return {1, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384};
}

inline Buckets FirstTokenBuckets() {
  return {0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75,
          1,     2.5,   5,    7.5,  10,   20,   40,   80,  160,  640, 2560};
}

inline Buckets NextTokenBuckets() {
  return {0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5,
          0.75, 1,     2.5,  5,     7.5, 10,   20,  40,  80};
}

inline Buckets RequestBuckets() {
  return {0.3, 0.5, 0.8, 1,  1.5, 2,   2.5, 5,   10,   15,  20,
          30,  40,  50,  60, 120, 240, 480, 960, 1920, 7680};
}

inline Buckets AnswersBuckets() { return {1, 2, 5, 10, 20}; }

// From a decode step of a small model to a prefill step of a large one.
inline Buckets StepBuckets() {
  return {0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1,
          0.25,   0.5,   1,      2.5,   5,    10,    30};
}

// Planning is meant to take less than 50 microseconds.
inline Buckets PlanningBuckets() {
  return {1e-6, 2e-6, 5e-6, 1e-5, 2e-5, 5e-5, 1e-4,
          2e-4, 5e-4, 1e-3, 5e-3, 2e-2, 0.1};
}

}  // namespace facet

#endif  // FACET_RPC_METRICS_BUCKETS_H_
