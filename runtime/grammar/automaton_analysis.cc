#include "runtime/grammar/automaton_analysis.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"

namespace facet {
namespace {

// Calls visit(target) for every state that `state` names.
template <typename Visit>
void ForEachNamed(const Automaton& automaton, const State& state, Visit visit) {
  switch (state.kind) {
    case StateKind::kEnd:
      return;
    case StateKind::kBytes:
      for (int32_t i = 0; i < state.b; ++i) {
        visit(automaton.edges[state.a + i].target);
      }
      return;
    case StateKind::kSplit:
      for (int32_t i = 0; i < state.b; ++i) {
        visit(automaton.targets[state.a + i]);
      }
      return;
    case StateKind::kCall:
    case StateKind::kRepeat:
      visit(state.a);
      visit(state.b);
      return;
  }
}

// For each state, the states that name it.
class Users {
 public:
  explicit Users(const Automaton& automaton)
      : begins_(automaton.states.size() + 1) {
    for (const State& state : automaton.states) {
      ForEachNamed(automaton, state, [&](int32_t t) { ++begins_[t]; });
    }
    int32_t sum = 0;
    for (int32_t& begin : begins_) begin = sum += begin;
    users_.resize(sum);
    for (size_t id = 0; id < automaton.states.size(); ++id) {
      ForEachNamed(automaton, automaton.states[id], [&](int32_t t) {
        users_[--begins_[t]] = static_cast<int32_t>(id);
      });
    }
  }

  absl::Span<const int32_t> Of(int32_t state) const {
    return absl::MakeConstSpan(users_).subspan(
        begins_[state], begins_[state + 1] - begins_[state]);
  }

 private:
  std::vector<int32_t> begins_;
  std::vector<int32_t> users_;
};

// Whether the end can be reached from each state without reading a byte.
std::vector<bool> FindNullable(const Automaton& automaton, const Users& users) {
  std::vector<bool> nullable(automaton.states.size(), false);
  std::vector<int32_t> open = {kEndState};
  nullable[kEndState] = true;
  while (!open.empty()) {
    const int32_t done = open.back();
    open.pop_back();
    for (const int32_t id : users.Of(done)) {
      const State& state = automaton.states[id];
      const bool now =
          state.kind == StateKind::kSplit ||
          (state.kind == StateKind::kCall && nullable[state.a] &&
           nullable[state.b]) ||
          (state.kind == StateKind::kRepeat &&
           (state.min == 0 || nullable[state.a]) && nullable[state.b]);
      if (now && !nullable[id]) {
        nullable[id] = true;
        open.push_back(id);
      }
    }
  }
  return nullable;
}

// Heights in increasing order, each state once: the height of a state is never
// below that of a state it needs.
void FindHeights(const Users& users, Automaton* automaton) {
  auto& states = automaton->states;
  for (State& state : states) state.height = kUnbounded;
  const int32_t most = automaton->limits.max_stack;
  std::vector<std::vector<int32_t>> of_height(most + 1);
  of_height[0].push_back(kEndState);
  const auto inside = [&states](int32_t id) {  // a body with its frame
    return states[id].height == kUnbounded ? kUnbounded : states[id].height + 1;
  };
  for (int32_t height = 0; height <= most; ++height) {
    for (size_t i = 0; i < of_height[height].size(); ++i) {
      const int32_t done = of_height[height][i];
      if (states[done].height != kUnbounded) continue;
      states[done].height = height;
      for (const int32_t id : users.Of(done)) {
        const State& state = states[id];
        int32_t next = height;
        if (state.kind == StateKind::kCall ||
            (state.kind == StateKind::kRepeat && state.min > 0)) {
          next = std::max(inside(state.a), states[state.b].height);
        } else if (state.kind == StateKind::kRepeat) {
          next = states[state.b].height;
        }
        if (next <= most && state.height == kUnbounded) {
          of_height[std::max(next, height)].push_back(id);
        }
      }
    }
  }
}

// States that one state reaches without reading a byte.
struct SilentStep {
  int32_t target = 0;
  bool pushes = false;
};

std::vector<SilentStep> SilentSteps(const Automaton& automaton,
                                    const std::vector<bool>& nullable,
                                    int32_t id) {
  const State& state = automaton.states[id];
  std::vector<SilentStep> steps;
  if (state.kind == StateKind::kSplit) {
    for (int32_t i = 0; i < state.b; ++i) {
      steps.push_back({automaton.targets[state.a + i], false});
    }
  } else if (state.kind == StateKind::kCall ||
             state.kind == StateKind::kRepeat) {
    steps.push_back({state.a, true});
    const bool skips =
        state.kind == StateKind::kCall ? nullable[state.a] : state.min == 0;
    if (skips) steps.push_back({state.b, false});
  }
  return steps;
}

// A state that can come back to itself having read nothing but with a higher
// stack; -1 if there is none. Tarjan's strongly connected components, with the
// recursion on a stack of our own.
int32_t FindLeftRecursion(const Automaton& automaton,
                          const std::vector<bool>& nullable) {
  struct Visit {
    int32_t id;
    std::vector<SilentStep> steps;
    size_t next = 0;
  };
  const int32_t count = static_cast<int32_t>(automaton.states.size());
  std::vector<int32_t> order(count, -1), low(count), component(count, -1);
  std::vector<int32_t> members;
  std::vector<Visit> path;
  int32_t next_order = 0, components = 0;
  const auto enter = [&](int32_t id) {
    order[id] = low[id] = next_order++;
    members.push_back(id);
    path.push_back({id, SilentSteps(automaton, nullable, id)});
  };
  for (int32_t root = 0; root < count; ++root) {
    if (order[root] < 0) enter(root);
    while (!path.empty()) {
      Visit& visit = path.back();
      if (visit.next < visit.steps.size()) {
        const int32_t target = visit.steps[visit.next++].target;
        if (order[target] < 0) {
          enter(target);
        } else if (component[target] < 0) {
          low[visit.id] = std::min(low[visit.id], order[target]);
        }
        continue;
      }
      const int32_t id = visit.id;
      path.pop_back();
      if (!path.empty()) {
        low[path.back().id] = std::min(low[path.back().id], low[id]);
      }
      if (low[id] != order[id]) continue;
      int32_t member;
      do {
        member = members.back();
        members.pop_back();
        component[member] = components;
      } while (member != id);
      ++components;
    }
  }
  for (int32_t id = 0; id < count; ++id) {
    for (const SilentStep& step : SilentSteps(automaton, nullable, id)) {
      if (step.pushes && component[step.target] == component[id]) return id;
    }
  }
  return -1;
}

void FindByteClasses(Automaton* automaton) {
  bool begins[257] = {true};
  for (const ByteEdge& edge : automaton->edges) {
    begins[edge.low] = true;
    begins[edge.high + 1] = true;
  }
  for (int byte = 0; byte < 256; ++byte) {
    if (begins[byte]) automaton->class_byte.push_back(byte);
    automaton->byte_class[byte] =
        static_cast<uint8_t>(automaton->class_byte.size() - 1);
  }
}

}  // namespace

absl::Status Analyze(const GrammarBuilder& builder, LoweredGrammar* lowered) {
  Automaton& automaton = lowered->automaton;
  const Users users(automaton);
  const std::vector<bool> nullable = FindNullable(automaton, users);
  for (State& state : automaton.states) {
    if (state.kind == StateKind::kRepeat && nullable[state.a]) state.min = 0;
  }
  const auto rule_name = [&](int32_t state) {
    return builder.rule(lowered->rule_of[state]).name;
  };
  const int32_t left = FindLeftRecursion(automaton, nullable);
  if (left >= 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        rule_name(left),
        ": refers to itself before it has read anything (left recursion); "
        "write it as a repetition"));
  }
  FindHeights(users, &automaton);
  if (automaton.states[automaton.start].height == kUnbounded) {
    return absl::InvalidArgumentError(
        absl::StrCat(rule_name(automaton.start),
                     ": no text satisfies it within max_stack = ",
                     automaton.limits.max_stack, " levels of nesting"));
  }
  FindByteClasses(&automaton);
  return absl::OkStatus();
}

}  // namespace facet
