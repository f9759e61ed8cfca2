// Whether calls that a device works off have stopped moving. Pure: time is an
// argument.
#ifndef FACET_RUNTIME_COMM_HANG_DETECTOR_H_
#define FACET_RUNTIME_COMM_HANG_DETECTOR_H_

#include <cstdint>

#include "absl/time/time.h"

namespace facet {

// Hung means: for `patience` there were calls asked for and not finished, and
// none of them finished. How far the asker is ahead counts for nothing.
class HangDetector {
 public:
  explicit HangDetector(absl::Duration patience) : patience_(patience) {}

  bool IsHung(absl::Time now, uint64_t asked, uint64_t finished) {
    if (finished >= asked || finished > finished_ || !waiting_) {
      since_ = now;
      waiting_ = finished < asked;
      finished_ = finished;
      return false;
    }
    return now - since_ >= patience_;
  }

 private:
  const absl::Duration patience_;
  absl::Time since_;
  uint64_t finished_ = 0;
  bool waiting_ = false;
};

}  // namespace facet

#endif  // FACET_RUNTIME_COMM_HANG_DETECTOR_H_
