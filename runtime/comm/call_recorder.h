// The last calls of a communicator, for the moment they hang: the ranks' lists
// side by side show who made another call, or none.
#ifndef FACET_RUNTIME_COMM_CALL_RECORDER_H_
#define FACET_RUNTIME_COMM_CALL_RECORDER_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>

#include "absl/strings/str_cat.h"

namespace facet {

// Thread-safe.
class CallRecorder {
 public:
  // `what` points to a literal; `peer` is -1 for a collective.
  void Add(const char* what, size_t bytes, int peer) {
    const std::lock_guard<std::mutex> lock(mutex_);
    calls_[count_++ % kKept] = {what, bytes, peer};
  }

  // "#7 all-reduce 21504 B; #8 send 10752 B to 3", oldest first.
  std::string ToString() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    std::string text;
    for (uint64_t i = count_ > kKept ? count_ - kKept : 0; i < count_; ++i) {
      const Call& call = calls_[i % kKept];
      absl::StrAppend(&text, text.empty() ? "" : "; ", "#", i, " ", call.what,
                      " ", call.bytes, " B");
      if (call.peer >= 0) absl::StrAppend(&text, ", rank ", call.peer);
    }
    return text.empty() ? "none" : text;
  }

 private:
  static constexpr uint64_t kKept = 16;
  struct Call {
    const char* what;
    size_t bytes;
    int peer;
  };

  mutable std::mutex mutex_;
  std::array<Call, kKept> calls_;
  uint64_t count_ = 0;
};

}  // namespace facet

#endif  // FACET_RUNTIME_COMM_CALL_RECORDER_H_
