// The last calls of a communicator and how far each came, for the moment they
// hang: the ranks' lists side by side show who made another call, or none.
#ifndef FACET_RUNTIME_COMM_FLIGHT_RECORDER_H_
#define FACET_RUNTIME_COMM_FLIGHT_RECORDER_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>

#include "absl/time/time.h"

namespace facet {

enum class CallState {
  kAsked,     // by this rank; the library has not taken it yet
  kQueued,    // in the device's line of operations
  kFinished,  // the device is past it
  kFailed,
};

struct RecordedCall {
  uint64_t number = 0;  // from 1 on, the same on all ranks that agree
  const char* what = "";
  size_t bytes = 0;
  int peer = -1;  // -1: a collective
  CallState state = CallState::kAsked;
  absl::Time asked_at;

  // "#7 send 10752 B to rank 3"
  std::string ToString() const;
};

// Thread-safe.
class FlightRecorder {
 public:
  // `what` points to a literal. Returns the call's number.
  uint64_t Ask(const char* what, size_t bytes, int peer, absl::Time now);
  void Queue(uint64_t number);
  void Fail(uint64_t number);
  // The device is past calls up to `number`.
  void FinishUpTo(uint64_t number);

  // The oldest call that has neither finished nor failed; number 0: none.
  RecordedCall Oldest() const;
  uint64_t asked() const;
  uint64_t finished() const;

  // "#7 all-reduce 21504 B finished; #8 send 10752 B to rank 3 queued", oldest
  // first, at most `calls` of them.
  std::string Last(size_t calls) const;
  // All that is kept, a line each with its age.
  std::string Dump(absl::Time now) const;

 private:
  static constexpr uint64_t kKept = 256;

  RecordedCall& at(uint64_t number) { return calls_[number % kKept]; }
  const RecordedCall& at(uint64_t number) const {
    return calls_[number % kKept];
  }
  // The first of the last `calls` that are kept. With mutex_ held.
  uint64_t FirstOf(uint64_t calls) const;

  mutable std::mutex mutex_;
  std::array<RecordedCall, kKept> calls_;
  uint64_t asked_ = 0;
  uint64_t finished_ = 0;
};

}  // namespace facet

#endif  // FACET_RUNTIME_COMM_FLIGHT_RECORDER_H_
