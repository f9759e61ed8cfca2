// Whether an answer may begin with thoughts, and whether they are shown.
#ifndef FACET_RPC_OPENAI_THINKING_FIELDS_H_
#define FACET_RPC_OPENAI_THINKING_FIELDS_H_

#include <cstdint>
#include <optional>
#include <string>

#include "rpc/openai/request_reader.h"

namespace facet {

struct ThinkingFields {
  std::optional<bool> enabled;  // absent: the chat format's default, off
  bool shown = true;
  int64_t budget = -1;  // in tokens; -1: none
};

// Reads reasoning_effort, enable_thinking, chat_template_kwargs,
// include_reasoning and thinking_token_budget, which must not contradict each
// other. `effort` is given where it has another name and place; it is empty or
// one of the efforts. `add_generation_prompt` is left alone unless
// chat_template_kwargs has it.
void ReadThinking(RequestReader& reader, const std::string& effort,
                  ThinkingFields* thinking, bool* add_generation_prompt);

inline constexpr char kEfforts[] = "none minimal low medium high xhigh max";

}  // namespace facet

#endif  // FACET_RPC_OPENAI_THINKING_FIELDS_H_
