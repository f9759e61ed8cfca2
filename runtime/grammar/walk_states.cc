#include "runtime/grammar/walk_states.h"

#include <utility>

#include "runtime/grammar/text_groups.h"

namespace facet {
namespace {

// Readings looked at for one mask; ordinary grammars need some thousands.
constexpr int64_t kMaxWork = 1'000'000;
constexpr size_t kMaxTransitions = 16'000'000;  // of four bytes

}  // namespace

WalkStates::WalkStates(const Automaton& automaton, StackPool* pool)
    : automaton_(automaton),
      stepper_(automaton, pool),
      classes_(static_cast<int32_t>(automaton.class_byte.size())) {}

int32_t WalkStates::Intern(Readings readings) {
  if (readings.dead()) return kDead;
  const auto [place, is_new] =
      ids_.try_emplace(readings.configs, static_cast<int32_t>(sets_.size()));
  if (is_new) {
    sets_.push_back(std::move(readings.configs));
    next_.resize(next_.size() + classes_, kUnknown);
    loops_.push_back(kNotTextGroup);
  }
  return place->second;
}

int32_t WalkStates::FindNext(int32_t state, uint8_t byte) {
  const int32_t byte_class = automaton_.byte_class[byte];
  const int32_t next =
      Intern(stepper_.Step(sets_[state], automaton_.class_byte[byte_class]));
  next_[static_cast<size_t>(state) * classes_ + byte_class] = next;
  exhausted_ = stepper_.overflow() || stepper_.work() > kMaxWork ||
               next_.size() > kMaxTransitions;
  return next;
}

uint64_t WalkStates::Loops(int32_t state) {
  if (loops_[state] != kNotTextGroup) return loops_[state];
  uint64_t broken = 0;
  for (int byte = 0; byte < 0x80; ++byte) {
    if (Next(state, byte) != state) {
      broken |= uint64_t{1} << AsciiGroup(byte);
    }
  }
  uint64_t loops = ((uint64_t{1} << kAsciiGroups) - 1) & ~broken;
  bool all = true;
  for (const Utf8Lead& lead : kUtf8Leads) {
    for (int byte = lead.low; all && byte <= lead.high; ++byte) {
      const int32_t next = Next(state, byte);
      all = next != kDead &&
            AllLead(next, lead.second_low, lead.second_high, lead.more, state);
    }
  }
  if (all) loops |= kNonAsciiGroup;
  return loops_[state] = loops;
}

bool WalkStates::AllLead(int32_t from, uint8_t low, uint8_t high, int more,
                         int32_t to) {
  int32_t last_class = -1;
  for (int byte = low; byte <= high; ++byte) {
    if (automaton_.byte_class[byte] == last_class) continue;
    last_class = automaton_.byte_class[byte];
    const int32_t next = Next(from, byte);
    if (more == 0 ? next != to
                  : next == kDead || !AllLead(next, 0x80, 0xBF, more - 1, to)) {
      return false;
    }
  }
  return true;
}

}  // namespace facet
