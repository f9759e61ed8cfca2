// The ways a text can be read so far, and how one byte advances them. Stacks
// share their lower parts: a stack is the index of its top frame.
#ifndef FACET_RUNTIME_GRAMMAR_READINGS_H_
#define FACET_RUNTIME_GRAMMAR_READINGS_H_

#include <cstdint>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/types/span.h"
#include "runtime/grammar/automaton.h"

namespace facet {

inline constexpr int32_t kEmptyStack = -1;

// What to do at the end of a rule or of a repeated body.
struct Frame {
  int32_t parent = kEmptyStack;
  int32_t state = 0;  // a call: where to go on; a repetition: its kRepeat state
  int32_t need = -1;  // a call: -1; a repetition: how often the body must
  int32_t room = 0;   // and may still run after this time; kUnbounded does not
                      // count down
  int32_t depth = 1;  // frames from here to the bottom

  bool is_call() const { return need < 0; }
  friend bool operator==(const Frame& x, const Frame& y) {
    return std::tie(x.parent, x.state, x.need, x.room) ==
           std::tie(y.parent, y.state, y.need, y.room);
  }
  template <typename H>
  friend H AbslHashValue(H h, const Frame& f) {
    return H::combine(std::move(h), f.parent, f.state, f.need, f.room);
  }
};

// No two frames are equal, and a parent stands before its children.
using StackPool = std::vector<Frame>;

// One reading: a kBytes state, and the stack below it.
struct Config {
  int32_t state = 0;
  int32_t stack = kEmptyStack;

  friend bool operator==(const Config& x, const Config& y) {
    return x.state == y.state && x.stack == y.stack;
  }
  friend bool operator<(const Config& x, const Config& y) {
    return std::tie(x.state, x.stack) < std::tie(y.state, y.stack);
  }
  template <typename H>
  friend H AbslHashValue(H h, const Config& c) {
    return H::combine(std::move(h), c.state, c.stack);
  }
};

struct Readings {
  std::vector<Config> configs;  // sorted, distinct
  bool can_end = false;

  bool dead() const { return configs.empty() && !can_end; }
};

// Advances readings, adding frames to one pool. Readings whose stack could not
// be emptied within GrammarLimits::max_stack are dropped at once, so what is
// left can always be completed.
class ReadingsStepper {
 public:
  // Both outlive the stepper; `pool` is changed by nobody else meanwhile.
  ReadingsStepper(const Automaton& automaton, StackPool* pool);

  // The readings before the first byte.
  Readings Start();
  // The readings after one more byte.
  Readings Step(absl::Span<const Config> configs, uint8_t byte);

  // A step met more readings than GrammarLimits::max_readings; its result is
  // incomplete.
  bool overflow() const { return overflow_; }
  // Grows by one per reading looked at.
  int64_t work() const { return work_; }

 private:
  void Add(int32_t state, int32_t stack);
  void Visit(int32_t state, int32_t stack);
  void RunBody(int32_t repeat, int32_t stack, int32_t need, int32_t room);
  int32_t Push(const Frame& frame);
  Readings Close();
  void DropDominated(std::vector<Config>* configs) const;

  const Automaton& automaton_;
  StackPool* const pool_;
  absl::flat_hash_map<Frame, int32_t> by_frame_;
  size_t first_fresh_ = 0;  // frames from here on began with this byte
  absl::flat_hash_set<Config> seen_;
  std::vector<Config> open_;
  std::vector<Config> found_;
  bool can_end_ = false;
  bool overflow_ = false;
  int64_t work_ = 0;
};

// The same readings with only the frames they need, in an order that does not
// depend on how they came about. Counters of `horizon` or more become
// kUnbounded, which changes nothing within that many bytes and makes counting
// there a loop.
void Canonicalize(int32_t horizon, StackPool* pool, Readings* readings);

}  // namespace facet

#endif  // FACET_RUNTIME_GRAMMAR_READINGS_H_
