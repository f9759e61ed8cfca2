// Any schema is compiled or refused within its limits, as a schema of JSON and
// as one of a tool's arguments, and what is compiled can be followed: from any
// place a text of it leads on.
#include <string>

#include "kernels/base/check.h"
#include "runtime/grammar/grammar.h"
#include "runtime/grammar/matcher.h"
#include "runtime/grammar/tool_calls.h"
#include "tests/fuzz/fuzz_target.h"

namespace facet {
namespace {

// Some text of `grammar`: at each place the byte that comes first behind the
// last one taken.
void Follow(const GrammarPtr& grammar) {
  GrammarMatcher matcher(grammar);
  unsigned start = 0;
  for (int i = 0; i < 60 && !matcher.IsFinished(); ++i) {
    bool moved = false;
    for (unsigned j = 0; j < 256 && !moved; ++j) {
      const char c = static_cast<char>((start + j) % 256);
      const absl::Status status = matcher.Accept(absl::string_view(&c, 1));
      if (status.code() == absl::StatusCode::kResourceExhausted) return;
      moved = status.ok();
      if (moved) start = start + j + 85;
    }
    FACET_CHECK(moved || matcher.CanEnd());
    if (!moved) return;
  }
}

}  // namespace
}  // namespace facet

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string schema(reinterpret_cast<const char*>(data), size);
  facet::GrammarLimits limits;
  limits.max_source_bytes = 64 << 10;
  limits.max_states = 20'000;
  limits.max_rules = 2'000;
  const auto json = facet::CompileJsonSchema(schema, limits);
  if (json.ok()) facet::Follow(*json);
  const auto call =
      facet::CompileToolCalls({{"f", schema}}, {.required = true}, limits);
  if (call.ok()) facet::Follow(*call);
  return 0;
}
