// Every field of every request that takes JSON, and what happens with it. A
// field is honoured, accepted without effect, or refused by name; none is
// ignored in silence, and a field that is not in the table is refused.
// docs/openai.md is this table in prose, which a test holds equal.
#ifndef FACET_RPC_OPENAI_FIELD_TABLE_H_
#define FACET_RPC_OPENAI_FIELD_TABLE_H_

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "rpc/openai/api_json.h"

namespace facet {

enum class Endpoint {
  kChatCompletions,
  kCompletions,
  kResponses,
  kTokenize,
  kDetokenize,
};
inline constexpr Endpoint kEndpoints[] = {
    Endpoint::kChatCompletions, Endpoint::kCompletions, Endpoint::kResponses,
    Endpoint::kTokenize, Endpoint::kDetokenize};
const char* PathOf(Endpoint endpoint);

enum class FieldUse {
  kHonoured,
  kNoEffect,  // accepted; the answer is the same without it
  kRefused,
};

struct ApiField {
  const char* name;
  FieldUse use;
  // Of kNoEffect and kRefused: the JSON values that are accepted besides null,
  // separated by spaces: those that ask for nothing. "*": any.
  const char* accepted;
  const char* note;  // what it does, or why it is refused
};

absl::Span<const ApiField> FieldsOf(Endpoint endpoint);

// Errors: INVALID_ARGUMENT naming the first field of `body`, an object, that is
// unknown, or has a value that the table refuses.
absl::Status CheckFields(Endpoint endpoint, const ApiJson& body);

}  // namespace facet

#endif  // FACET_RPC_OPENAI_FIELD_TABLE_H_
