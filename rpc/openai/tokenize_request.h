// The bodies of POST /tokenize and /detokenize.
#ifndef FACET_RPC_OPENAI_TOKENIZE_REQUEST_H_
#define FACET_RPC_OPENAI_TOKENIZE_REQUEST_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "rpc/convert/text_messages.h"

namespace facet {

struct TokenizeRequest {
  std::string model;
  TextRequest text;  // the prompt alone: a text or a conversation
  bool add_special_tokens = true;
  bool return_token_strings = false;
};

struct DetokenizeRequest {
  std::string model;
  std::vector<int32_t> tokens;
  bool skip_special_tokens = false;
};

// Errors: INVALID_ARGUMENT naming the field.
absl::StatusOr<TokenizeRequest> ParseTokenizeRequest(const std::string& body);
absl::StatusOr<DetokenizeRequest> ParseDetokenizeRequest(
    const std::string& body);

}  // namespace facet

#endif  // FACET_RPC_OPENAI_TOKENIZE_REQUEST_H_
