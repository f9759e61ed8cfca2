#include "rpc/openai/thinking_fields.h"

namespace facet {
namespace {

void Agree(RequestReader& reader, const char* name, std::optional<bool> wanted,
           std::optional<bool>* enabled) {
  if (!wanted.has_value()) return;
  if (enabled->has_value() && **enabled != *wanted) {
    reader.Fail(name, "contradicts what another field says of thinking");
  }
  *enabled = wanted;
}

}  // namespace

void ReadThinking(RequestReader& reader, const std::string& effort,
                  ThinkingFields* thinking, bool* add_generation_prompt) {
  std::optional<bool> wanted;
  reader.Read("enable_thinking", &wanted);
  Agree(reader, "enable_thinking", wanted, &thinking->enabled);

  std::string asked = effort;
  if (asked.empty()) asked = reader.ReadChoice("reasoning_effort", kEfforts);
  wanted.reset();
  if (!asked.empty()) wanted = asked != "none";
  Agree(reader, "reasoning_effort", wanted, &thinking->enabled);

  if (const ApiJson* kwargs = reader.FindObject("chat_template_kwargs")) {
    RequestReader inner(*kwargs, "chat_template_kwargs");
    inner.RefuseOthers("enable_thinking add_generation_prompt");
    wanted.reset();
    inner.Read("enable_thinking", &wanted);
    inner.Read("add_generation_prompt", add_generation_prompt);
    reader.Fail(inner.status());
    Agree(reader, "chat_template_kwargs.enable_thinking", wanted,
          &thinking->enabled);
  }
  reader.Read("include_reasoning", &thinking->shown);
  reader.ReadInteger("thinking_token_budget", &thinking->budget);
  if (thinking->budget < -1) {
    reader.Fail("thinking_token_budget", "legal is -1 (no limit) and above");
  }
}

}  // namespace facet
