// What a rank is doing, in a few words and numbers: enough to tell one that
// stands still from one that is slow, and from those that wait for either.
#ifndef FACET_RUNTIME_EXECUTOR_RANK_ACTIVITY_H_
#define FACET_RUNTIME_EXECUTOR_RANK_ACTIVITY_H_

#include <cstdint>
#include <string>

#include "absl/time/time.h"

namespace facet {

// Durations, not times: it is read on machines whose clocks differ.
struct RankActivity {
  bool running = false;   // a step
  uint64_t step = 0;      // that one, or the one before
  absl::Duration since;   // it began, or the one before ended
  int layer = -1;         // of the model; -1: before or after its layers
  std::string operation;  // "attention", "#7 all-reduce 21504 B"
  int waits_for = -1;     // the rank that has to act first; -1: none
  absl::Duration waits;   // since when, without a byte
  uint64_t moves = 0;     // grows with every step, layer, call and late byte
  std::string calls;      // the last ones to its peers, oldest first
};

}  // namespace facet

#endif  // FACET_RUNTIME_EXECUTOR_RANK_ACTIVITY_H_
