// The part of a deterministic automaton that one walk over a token trie needs,
// made as it goes: sets of readings are numbered, and their transitions kept.
#ifndef FACET_RUNTIME_GRAMMAR_WALK_STATES_H_
#define FACET_RUNTIME_GRAMMAR_WALK_STATES_H_

#include <cstdint>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "runtime/grammar/readings.h"

namespace facet {

class WalkStates {
 public:
  static constexpr int32_t kDead = -1;

  // Both outlive this.
  WalkStates(const Automaton& automaton, StackPool* pool);

  // The number of `readings`; kDead when there are none.
  int32_t Intern(Readings readings);

  // Where one byte leads; kDead when it is not allowed.
  int32_t Next(int32_t state, uint8_t byte) {
    const int32_t next = next_[static_cast<size_t>(state) * classes_ +
                               automaton_.byte_class[byte]];
    return next != kUnknown ? next : FindNext(state, byte);
  }

  // The groups of characters (text_groups.h) of which each leads from `state`
  // back to it.
  uint64_t Loops(int32_t state);

  // More work was asked for than any reasonable grammar needs; what Next() says
  // from here on is wrong.
  bool exhausted() const { return exhausted_; }

 private:
  static constexpr int32_t kUnknown = -2;

  int32_t FindNext(int32_t state, uint8_t byte);
  // Whether bytes `low` to `high` and then `more` trailing bytes all lead from
  // `from` to `to`.
  bool AllLead(int32_t from, uint8_t low, uint8_t high, int more, int32_t to);

  const Automaton& automaton_;
  ReadingsStepper stepper_;
  const int32_t classes_;
  absl::flat_hash_map<std::vector<Config>, int32_t> ids_;
  std::vector<std::vector<Config>> sets_;
  std::vector<int32_t> next_;    // [sets, classes]
  std::vector<uint64_t> loops_;  // [sets]; kNotTextGroup: not known yet
  bool exhausted_ = false;
};

}  // namespace facet

#endif  // FACET_RUNTIME_GRAMMAR_WALK_STATES_H_
