// Foretells how long a step takes from what steps like it took, so that the
// next one can be handed over just before it ends: early enough to cost no
// time, late enough for requests that come meanwhile. Pure.
#ifndef FACET_RPC_COORDINATOR_STEP_CLOCK_H_
#define FACET_RPC_COORDINATOR_STEP_CLOCK_H_

#include <array>
#include <cstdint>

#include "absl/time/time.h"

namespace facet {

class StepClock {
 public:
  // A step of `tokens` new tokens over `slices` sequences took `duration`.
  void Record(int64_t slices, int64_t tokens, absl::Duration duration);

  // Nothing was like it so far: zero.
  absl::Duration Predict(int64_t slices, int64_t tokens) const;

 private:
  // Steps whose slices and tokens have equal binary magnitudes are alike.
  static constexpr int kMagnitudes = 24;
  using Row = std::array<absl::Duration, kMagnitudes>;
  std::array<Row, kMagnitudes> last_{};
};

}  // namespace facet

#endif  // FACET_RPC_COORDINATOR_STEP_CLOCK_H_
