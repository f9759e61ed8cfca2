// Control tokens in grammars: each stands for one byte that no UTF-8 text has,
// so that nothing else is ever taken for it.
#ifndef FACET_RUNTIME_GRAMMAR_CONTROL_BYTES_H_
#define FACET_RUNTIME_GRAMMAR_CONTROL_BYTES_H_

#include <cstdint>

namespace facet {

inline constexpr char kCallOpenByte = '\xF8';      // <|tool_call>
inline constexpr char kCallCloseByte = '\xF9';     // <tool_call|>
inline constexpr char kStringMarkerByte = '\xFA';  // <|"|>

// F8 to FF: a token that spells such a byte is never allowed.
constexpr bool IsControlByte(char byte) {
  return static_cast<uint8_t>(byte) >= 0xF8;
}

// Which token a control byte stands for.
struct ControlToken {
  int32_t id = -1;
  char byte = 0;
};

}  // namespace facet

#endif  // FACET_RUNTIME_GRAMMAR_CONTROL_BYTES_H_
