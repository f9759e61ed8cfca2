// What ails a cluster, from what its workers say of themselves: one that is
// silent, one that stands still while the others wait for it, one that is only
// slow, or all waiting for each other. Pure: no clock, no threads.
#ifndef FACET_RPC_CONTROL_DIAGNOSIS_H_
#define FACET_RPC_CONTROL_DIAGNOSIS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "runtime/executor/rank_activity.h"

namespace facet {

// One place of a world. Durations count back from now.
struct RankCondition {
  enum class State {
    kAbsent,   // nobody has the place yet
    kJoined,   // its worker waits for the others
    kLoading,  // its weights
    kReady,
    kGone,  // its stream is over
  };

  int rank = -1;  // -1: not known before the places are given
  std::string host;
  int64_t pid = 0;
  State state = State::kAbsent;
  absl::Duration heard;  // its last message
  absl::Duration still;  // the last sign that its step goes on
  bool owes = false;     // an answer to the oldest step
  RankActivity activity;
};

const char* Name(RankCondition::State state);

struct ClusterCondition {
  uint64_t epoch = 0;
  std::vector<RankCondition> ranks;  // by rank once the places are given
  int spares = 0;
  int wanted = 0;  // workers of the whole plan
  // The oldest step without all its answers, and since when it is the oldest.
  std::optional<uint64_t> step;
  absl::Duration step_age;
  // OK, or why the world is of no more use or not yet.
  absl::Status health;
  absl::Duration heartbeat_interval = absl::Seconds(1);
  absl::Duration heartbeat_timeout = absl::Seconds(10);
  absl::Duration stall_timeout = absl::Minutes(2);
  absl::Duration step_timeout = absl::Minutes(10);
};

struct Diagnosis {
  enum class Kind {
    kWell,      // idle, or steps come and go
    kForming,   // places are empty or weights are being loaded
    kLost,      // the world is lost and the next is not there yet
    kSilent,    // `rank` is not heard of
    kStalled,   // the others wait for `rank`, which does not move
    kSlow,      // the others wait for `rank`, which moves
    kDeadlock,  // all wait for each other
  };

  Kind kind = Kind::kWell;
  int rank = -1;
  std::string verdict;  // a sentence
  std::string advice;   // what to do about it; "": nothing

  bool wrong() const { return kind != Kind::kWell && kind != Kind::kSlow; }
};

const char* Name(Diagnosis::Kind kind);

// "3 workers stand in for 4"; empty where none are missing.
std::string StandIns(const ClusterCondition& cluster);

// A rank that shows no progress for `patience` stands still.
Diagnosis Diagnose(const ClusterCondition& cluster, absl::Duration patience);

}  // namespace facet

#endif  // FACET_RPC_CONTROL_DIAGNOSIS_H_
