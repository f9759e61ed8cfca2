#include "rpc/coordinator/step_clock.h"

#include <algorithm>
#include <bit>

namespace facet {
namespace {

int Magnitude(int64_t count, int limit) {
  const auto bits =
      std::bit_width(static_cast<uint64_t>(std::max<int64_t>(count, 0)));
  return std::min(static_cast<int>(bits), limit - 1);
}

}  // namespace

void StepClock::Record(int64_t slices, int64_t tokens,
                       absl::Duration duration) {
  last_[Magnitude(slices, kMagnitudes)][Magnitude(tokens, kMagnitudes)] =
      duration;
}

absl::Duration StepClock::Predict(int64_t slices, int64_t tokens) const {
  return last_[Magnitude(slices, kMagnitudes)][Magnitude(tokens, kMagnitudes)];
}

}  // namespace facet
