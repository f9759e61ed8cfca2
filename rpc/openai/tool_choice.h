// Which calls an answer may, or has to, make.
#ifndef FACET_RPC_OPENAI_TOOL_CHOICE_H_
#define FACET_RPC_OPENAI_TOOL_CHOICE_H_

#include <string>

#include "rpc/openai/api_json.h"
#include "rpc/openai/request_reader.h"

namespace facet {

struct ToolUse {
  enum class Choice { kAuto, kNone, kRequired, kNamed };

  ApiJson tools;  // a list as CheckTools() gives it; null: none
  Choice choice = Choice::kAuto;
  std::string name;               // of kNamed
  bool parallel = true;           // more than one call
  bool flat = false;              // functions' fields stood beside their type
  ApiJson choice_given = "auto";  // as the request has it

  bool declared() const { return !tools.empty(); }
};

// Reads tools, tool_choice and parallel_tool_calls; `flat` as in CheckTools().
void ReadToolUse(RequestReader& reader, bool flat, ToolUse* use);

}  // namespace facet

#endif  // FACET_RPC_OPENAI_TOOL_CHOICE_H_
