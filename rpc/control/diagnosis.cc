#include "rpc/control/diagnosis.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace facet {
namespace {

using State = RankCondition::State;
using Kind = Diagnosis::Kind;

std::string Text(absl::Duration duration) {
  const absl::Duration unit =
      duration < absl::Seconds(10) ? absl::Milliseconds(100) : absl::Seconds(1);
  return absl::FormatDuration(absl::Trunc(duration, unit));
}

std::string Describe(const RankCondition& rank) {
  return absl::StrCat("rank ", rank.rank, " on ", rank.host, " (pid ", rank.pid,
                      ")");
}

// "ranks 0 and 2"
std::string Ranks(const std::vector<const RankCondition*>& ranks) {
  std::string text = ranks.size() == 1 ? "rank " : "ranks ";
  for (size_t i = 0; i < ranks.size(); ++i) {
    const bool last = i + 1 == ranks.size();
    absl::StrAppend(&text, i == 0 ? "" : last ? " and " : ", ", ranks[i]->rank);
  }
  return text;
}

// "step 7, layer 3, #12 all-reduce 21504 B"
std::string Where(const ClusterCondition& cluster, const RankCondition& rank) {
  const RankActivity& activity = rank.activity;
  if (!activity.running) {
    const uint64_t step = cluster.step.value_or(0);
    return absl::StrCat("step ", step,
                        activity.moves > 0 && activity.step >= step
                            ? ", whose answer it owes"
                            : ", which it has not begun");
  }
  std::string text = absl::StrCat("step ", activity.step);
  if (activity.layer >= 0) absl::StrAppend(&text, ", layer ", activity.layer);
  if (!activity.operation.empty()) {
    absl::StrAppend(&text, ", ", activity.operation);
  }
  return text;
}

bool InCall(const RankCondition& rank) {
  return absl::StartsWith(rank.activity.operation, "#");
}

// Of places that are not all taken.
Diagnosis Forming(const ClusterCondition& cluster) {
  Diagnosis diagnosis;
  diagnosis.kind = Kind::kForming;
  int absent = 0, loading = 0;
  for (const RankCondition& rank : cluster.ranks) {
    absent += rank.state == State::kAbsent || rank.state == State::kGone;
    loading += rank.state == State::kLoading;
  }
  const auto size = cluster.ranks.size();
  if (absent > 0) {
    diagnosis.verdict =
        absl::StrCat(absent, " of ", size, " workers are missing");
    diagnosis.advice =
        "start them: facet worker --coordinator=HOST:PORT; if they run, their "
        "logs say why they do not join";
  } else {
    diagnosis.verdict =
        absl::StrCat(loading, " of ", size, " workers load their weights");
    diagnosis.advice = "wait; a cold checkpoint takes its bytes by the disk";
  }
  return diagnosis;
}

// Follows who waits for whom from everybody that owes an answer; returns those
// at the ends, who wait for nobody.
std::vector<const RankCondition*> Ends(
    const std::vector<const RankCondition*>& owing) {
  std::vector<const RankCondition*> ends;
  for (const RankCondition* rank : owing) {
    if (rank->activity.waits_for < 0) ends.push_back(rank);
  }
  // Some calls do not tell for whom they wait; a rank in none is the end then.
  const auto calls =
      std::partition(ends.begin(), ends.end(),
                     [](const RankCondition* rank) { return !InCall(*rank); });
  if (calls != ends.begin()) ends.erase(calls, ends.end());
  return ends;
}

Diagnosis OfStep(const ClusterCondition& cluster, absl::Duration patience) {
  Diagnosis diagnosis;
  std::vector<const RankCondition*> owing, waiting, still;
  for (const RankCondition& rank : cluster.ranks) {
    if (!rank.owes) continue;
    owing.push_back(&rank);
    if (rank.activity.waits_for >= 0 || InCall(rank)) waiting.push_back(&rank);
  }
  const std::vector<const RankCondition*> ends = Ends(owing);
  for (const RankCondition* rank : ends) {
    if (rank->still >= patience) still.push_back(rank);
  }
  // Since when none of those that owe an answer has moved.
  absl::Duration standstill = absl::InfiniteDuration();
  for (const RankCondition* rank : owing) {
    standstill = std::min(standstill, rank->still);
  }
  const std::string replaced =
      absl::StrCat("after --stall-timeout, ", Text(cluster.stall_timeout),
                   " without a sign");
  if (!owing.empty() && ends.empty() && standstill >= patience) {
    diagnosis.kind = Kind::kDeadlock;
    std::vector<std::string> edges;
    for (const RankCondition* rank : owing) {
      edges.push_back(absl::StrCat("rank ", rank->rank, " for rank ",
                                   rank->activity.waits_for));
    }
    diagnosis.verdict =
        absl::StrCat("all wait for each other in step ", *cluster.step, ": ",
                     absl::StrJoin(edges, ", "), ", and nothing has moved for ",
                     Text(standstill), ": a message between them is lost");
    diagnosis.advice =
        absl::StrCat("all form a new world ", replaced,
                     "; if it comes back, look at the network between them");
    return diagnosis;
  }
  if (!still.empty()) {
    const RankCondition& rank = *still.front();
    std::vector<const RankCondition*> others;
    for (const RankCondition* other : waiting) {
      if (other != &rank) others.push_back(other);
    }
    diagnosis.kind = Kind::kStalled;
    diagnosis.rank = rank.rank;
    diagnosis.verdict =
        absl::StrCat(Describe(rank),
                     " stands still though its process answers: no progress "
                     "for ",
                     Text(rank.still), " in ", Where(cluster, rank));
    if (!others.empty()) {
      absl::StrAppend(&diagnosis.verdict, "; ", Ranks(others),
                      others.size() == 1 ? " waits" : " wait");
    }
    if (still.size() > 1) {
      absl::StrAppend(&diagnosis.verdict, "; so do ", Ranks(still));
    }
    diagnosis.advice = absl::StrCat(
        "it is replaced ", replaced,
        "; look at its log, and where it is stopped or swaps, at its machine");
    return diagnosis;
  }
  if (!ends.empty() && !waiting.empty() && cluster.step_age >= patience) {
    const RankCondition& rank = *ends.front();
    diagnosis.kind = Kind::kSlow;
    diagnosis.rank = rank.rank;
    diagnosis.verdict = absl::StrCat(Describe(rank), " is slow but moves, in ",
                                     Where(cluster, rank), "; ", Ranks(waiting),
                                     waiting.size() == 1 ? " waits" : " wait",
                                     " for it, and step ", *cluster.step,
                                     " runs for ", Text(cluster.step_age));
    diagnosis.advice =
        "see what else runs on its machine, and whether its clock is throttled";
    return diagnosis;
  }
  diagnosis.verdict = absl::StrCat("step ", *cluster.step, " runs, for ",
                                   Text(cluster.step_age), " so far");
  return diagnosis;
}

}  // namespace

const char* Name(RankCondition::State state) {
  switch (state) {
    case State::kAbsent:
      return "absent";
    case State::kJoined:
      return "joined";
    case State::kLoading:
      return "loading";
    case State::kReady:
      return "ready";
    case State::kGone:
      return "gone";
  }
  return "";
}

const char* Name(Diagnosis::Kind kind) {
  switch (kind) {
    case Kind::kWell:
      return "well";
    case Kind::kForming:
      return "forming";
    case Kind::kLost:
      return "lost";
    case Kind::kSilent:
      return "silent";
    case Kind::kStalled:
      return "stalled";
    case Kind::kSlow:
      return "slow";
    case Kind::kDeadlock:
      return "deadlock";
  }
  return "";
}

std::string StandIns(const ClusterCondition& cluster) {
  const int count = static_cast<int>(cluster.ranks.size());
  if (count >= cluster.wanted) return "";
  return absl::StrCat(count, count == 1 ? " worker stands" : " workers stand",
                      " in for ", cluster.wanted);
}

Diagnosis Diagnose(const ClusterCondition& cluster, absl::Duration patience) {
  Diagnosis diagnosis;
  for (const RankCondition& rank : cluster.ranks) {
    if (rank.state != State::kReady || rank.heard < patience) continue;
    diagnosis.kind = Kind::kSilent;
    diagnosis.rank = rank.rank;
    diagnosis.verdict =
        absl::StrCat(Describe(rank), " is not heard of for ", Text(rank.heard));
    diagnosis.advice = absl::StrCat(
        "it is replaced after --heartbeat-timeout, ",
        Text(cluster.heartbeat_timeout),
        "; see whether its process is stopped or its network is cut");
    return diagnosis;
  }
  const bool complete = std::all_of(
      cluster.ranks.begin(), cluster.ranks.end(),
      [](const RankCondition& rank) { return rank.state == State::kReady; });
  if (!complete) {
    diagnosis = Forming(cluster);
  } else if (!cluster.health.ok()) {
    diagnosis.kind = Kind::kLost;
  } else if (cluster.step.has_value()) {
    diagnosis = OfStep(cluster, patience);
  } else {
    diagnosis.verdict = "all workers are here and idle";
  }
  if (const std::string fewer = StandIns(cluster); !fewer.empty()) {
    absl::StrAppend(&diagnosis.verdict, "; ", fewer);
    if (diagnosis.advice.empty()) {
      diagnosis.advice = "start the others: the plan grows when they come";
    }
  }
  if (!cluster.health.ok()) {
    absl::StrAppend(&diagnosis.verdict, diagnosis.verdict.empty() ? "" : "; ",
                    std::string(cluster.health.message()));
    if (diagnosis.advice.empty()) {
      diagnosis.advice = "wait; a new world is being formed";
    }
  }
  return diagnosis;
}

}  // namespace facet
