// The body of POST /v1/completions.
#ifndef FACET_RPC_OPENAI_COMPLETION_REQUEST_H_
#define FACET_RPC_OPENAI_COMPLETION_REQUEST_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "rpc/openai/generation_fields.h"

namespace facet {

// A text or token ids.
struct CompletionPrompt {
  bool is_tokens = false;
  std::string text;
  std::vector<int32_t> tokens;
};

struct CompletionRequest {
  GenerationFields fields;                // without a prompt
  std::vector<CompletionPrompt> prompts;  // each is answered n times
  bool echo = false;
  bool add_special_tokens = true;
  bool logprobs = false;
};

// Most prompts of one request.
inline constexpr size_t kMaxPrompts = 64;

// Errors: INVALID_ARGUMENT naming the field.
absl::StatusOr<CompletionRequest> ParseCompletionRequest(
    const std::string& body);

}  // namespace facet

#endif  // FACET_RPC_OPENAI_COMPLETION_REQUEST_H_
