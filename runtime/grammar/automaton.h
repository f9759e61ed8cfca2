// The one machine behind all grammars: a nondeterministic pushdown automaton
// over bytes. States read a byte, split, call a rule, or repeat a body a
// counted number of times; counts live on the stack, so `{1,100000}` costs one
// state.
#ifndef FACET_RUNTIME_GRAMMAR_AUTOMATON_H_
#define FACET_RUNTIME_GRAMMAR_AUTOMATON_H_

#include <cstdint>
#include <limits>
#include <vector>

#include "runtime/grammar/grammar_limits.h"

namespace facet {

inline constexpr int32_t kUnbounded = std::numeric_limits<int32_t>::max();

// The state where every rule and every repeated body ends.
inline constexpr int32_t kEndState = 0;

enum class StateKind : uint8_t {
  kEnd,     // goes on with what is on top of the stack
  kBytes,   // reads one byte: edges [a, a + b)
  kSplit,   // goes on in every one of targets [a, a + b)
  kCall,    // runs from state `a` to the end, then goes on in state `b`
  kRepeat,  // runs from state `a` to the end min to max times, then goes on
            // in state `b`
};

struct State {
  StateKind kind = StateKind::kEnd;
  int32_t a = 0;
  int32_t b = 0;
  int32_t min = 0;
  int32_t max = 0;     // or kUnbounded
  int32_t height = 0;  // stack frames that reaching the end takes at least;
                       // kUnbounded when it cannot be reached
};

struct ByteEdge {
  uint8_t low = 0;
  uint8_t high = 0;  // inclusive
  int32_t target = 0;
};

struct Automaton {
  std::vector<State> states;  // [0] is kEndState
  std::vector<ByteEdge> edges;
  std::vector<int32_t> targets;
  int32_t start = 0;
  GrammarLimits limits;

  // Bytes that no edge tells apart share a class.
  uint8_t byte_class[256] = {};
  std::vector<uint8_t> class_byte;  // one byte of each class
};

}  // namespace facet

#endif  // FACET_RUNTIME_GRAMMAR_AUTOMATON_H_
