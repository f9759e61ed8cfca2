#include "runtime/grammar/readings.h"

#include <algorithm>

namespace facet {
namespace {

// States passed through per reading, beyond which a grammar counts as too
// ambiguous as well.
constexpr int kVisitsPerReading = 16;

int32_t OneLess(int32_t count) {
  return count == kUnbounded || count == 0 ? count : count - 1;
}

}  // namespace

ReadingsStepper::ReadingsStepper(const Automaton& automaton, StackPool* pool)
    : automaton_(automaton), pool_(pool) {
  for (size_t i = 0; i < pool->size(); ++i) {
    by_frame_.emplace((*pool)[i], static_cast<int32_t>(i));
  }
}

Readings ReadingsStepper::Start() {
  first_fresh_ = pool_->size();
  Add(automaton_.start, kEmptyStack);
  return Close();
}

Readings ReadingsStepper::Step(absl::Span<const Config> configs, uint8_t byte) {
  first_fresh_ = pool_->size();
  work_ += configs.size();
  for (const Config& config : configs) {
    const State& state = automaton_.states[config.state];
    for (int32_t i = state.a; i < state.a + state.b; ++i) {
      const ByteEdge& edge = automaton_.edges[i];
      if (edge.low <= byte && byte <= edge.high) Add(edge.target, config.stack);
    }
  }
  return Close();
}

void ReadingsStepper::Add(int32_t state, int32_t stack) {
  const int32_t depth = stack == kEmptyStack ? 0 : (*pool_)[stack].depth;
  if (automaton_.states[state].height > automaton_.limits.max_stack - depth) {
    return;
  }
  if (seen_.insert({state, stack}).second) open_.push_back({state, stack});
}

Readings ReadingsStepper::Close() {
  const size_t most = automaton_.limits.max_readings;
  while (!open_.empty()) {
    if (found_.size() > most || seen_.size() > kVisitsPerReading * most) {
      overflow_ = true;
      open_.clear();
      break;
    }
    const Config config = open_.back();
    open_.pop_back();
    Visit(config.state, config.stack);
  }
  work_ += seen_.size();
  seen_.clear();
  Readings readings;
  readings.can_end = can_end_;
  can_end_ = false;
  if (found_.size() > 1) DropDominated(&found_);
  std::sort(found_.begin(), found_.end());
  readings.configs.assign(found_.begin(), found_.end());
  found_.clear();
  return readings;
}

void ReadingsStepper::Visit(int32_t id, int32_t stack) {
  const State& state = automaton_.states[id];
  switch (state.kind) {
    case StateKind::kBytes:
      found_.push_back({id, stack});
      return;
    case StateKind::kSplit:
      for (int32_t i = state.a; i < state.a + state.b; ++i) {
        Add(automaton_.targets[i], stack);
      }
      return;
    case StateKind::kCall:
      Add(state.a, Push({.parent = stack, .state = state.b}));
      return;
    case StateKind::kRepeat:
      if (state.min == 0) Add(state.b, stack);
      RunBody(id, stack, OneLess(state.min), OneLess(state.max));
      return;
    case StateKind::kEnd: {
      if (stack == kEmptyStack) {
        can_end_ = true;
        return;
      }
      const Frame frame = (*pool_)[stack];
      if (frame.is_call()) {
        Add(frame.state, frame.parent);
        return;
      }
      if (frame.need == 0) Add(automaton_.states[frame.state].b, frame.parent);
      // A body that read nothing is not run again: it would go on for ever.
      const bool read_nothing = static_cast<size_t>(stack) >= first_fresh_;
      if (frame.room > 0 && !read_nothing) {
        RunBody(frame.state, frame.parent, OneLess(frame.need),
                OneLess(frame.room));
      }
      return;
    }
  }
}

// Starts the body of `repeat` one more time, after which it must run `need` and
// may run `room` times more.
void ReadingsStepper::RunBody(int32_t repeat, int32_t stack, int32_t need,
                              int32_t room) {
  const State& state = automaton_.states[repeat];
  if (room > 0) {
    Add(state.a, Push({stack, repeat, need, room}));
  } else if (state.b == kEndState) {
    Add(state.a, stack);
  } else {
    Add(state.a, Push({.parent = stack, .state = state.b}));
  }
}

int32_t ReadingsStepper::Push(const Frame& frame) {
  const auto [place, is_new] =
      by_frame_.try_emplace(frame, static_cast<int32_t>(pool_->size()));
  if (is_new) {
    pool_->push_back(frame);
    const int32_t below =
        frame.parent == kEmptyStack ? 0 : (*pool_)[frame.parent].depth;
    pool_->back().depth = below + 1;
  }
  return place->second;
}

// Of readings that differ only in how often a body may still run, the one with
// the most room accepts everything that the others do.
void ReadingsStepper::DropDominated(std::vector<Config>* configs) const {
  absl::flat_hash_map<std::tuple<int32_t, int32_t, int32_t>, int32_t> most;
  const auto counts_up = [this](const Config& config) {
    return config.stack != kEmptyStack && (*pool_)[config.stack].need == 0;
  };
  for (const Config& config : *configs) {
    if (!counts_up(config)) continue;
    const Frame& frame = (*pool_)[config.stack];
    int32_t& room = most[{config.state, frame.parent, frame.state}];
    room = std::max(room, frame.room);
  }
  if (most.empty()) return;
  const auto dominated = [&](const Config& config) {
    if (!counts_up(config)) return false;
    const Frame& frame = (*pool_)[config.stack];
    return frame.room < most[{config.state, frame.parent, frame.state}];
  };
  configs->erase(std::remove_if(configs->begin(), configs->end(), dominated),
                 configs->end());
}

void Canonicalize(int32_t horizon, StackPool* pool, Readings* readings) {
  std::vector<int32_t> order;  // of the frames in use, by depth
  std::vector<bool> used(pool->size(), false);
  for (const Config& config : readings->configs) {
    for (int32_t at = config.stack; at != kEmptyStack && !used[at];
         at = (*pool)[at].parent) {
      used[at] = true;
      order.push_back(at);
    }
  }
  std::sort(order.begin(), order.end(), [pool](int32_t x, int32_t y) {
    return (*pool)[x].depth < (*pool)[y].depth;
  });
  std::vector<int32_t> renamed(pool->size(), kEmptyStack);
  StackPool kept;
  for (size_t begin = 0; begin < order.size();) {
    // All frames of one depth: their parents have their final names.
    const int32_t depth = (*pool)[order[begin]].depth;
    std::vector<std::pair<Frame, int32_t>> level;
    size_t end = begin;
    for (; end < order.size() && (*pool)[order[end]].depth == depth; ++end) {
      Frame frame = (*pool)[order[end]];
      if (frame.parent != kEmptyStack) frame.parent = renamed[frame.parent];
      if (!frame.is_call()) {
        if (frame.need >= horizon) frame.need = kUnbounded;
        if (frame.room >= horizon) frame.room = kUnbounded;
      }
      level.emplace_back(frame, order[end]);
    }
    std::sort(level.begin(), level.end(), [](const auto& x, const auto& y) {
      const Frame &f = x.first, &g = y.first;
      return std::tie(f.parent, f.state, f.need, f.room) <
             std::tie(g.parent, g.state, g.need, g.room);
    });
    const size_t first = kept.size();
    for (const auto& [frame, old_name] : level) {
      if (kept.size() == first || !(kept.back() == frame)) {
        kept.push_back(frame);
      }
      renamed[old_name] = static_cast<int32_t>(kept.size()) - 1;
    }
    begin = end;
  }
  for (Config& config : readings->configs) {
    if (config.stack != kEmptyStack) config.stack = renamed[config.stack];
  }
  auto& configs = readings->configs;
  std::sort(configs.begin(), configs.end());
  configs.erase(std::unique(configs.begin(), configs.end()), configs.end());
  *pool = std::move(kept);
}

}  // namespace facet
