// Errors as OpenAI's API tells them: {"error": {"message", "type", "param",
// "code"}}, with the status codes its clients act on.
#ifndef FACET_RPC_OPENAI_API_ERROR_H_
#define FACET_RPC_OPENAI_API_ERROR_H_

#include <string>

#include "absl/status/status.h"
#include "rpc/http/http_message.h"
#include "rpc/openai/api_json.h"

namespace facet {

struct ApiError {
  int status = 500;
  std::string message;
  std::string type;
  std::string param;  // the field at fault; empty: none
  std::string code;
};

// The field is the word before the first colon of an INVALID_ARGUMENT's
// message ("temperature: ..."), under the name that this API gives it.
ApiError ErrorOf(const absl::Status& status);

// {"error": {...}}
ApiJson ErrorBody(const ApiError& error);

// With Retry-After where `status` says how long, or waiting helps anyway.
HttpResponse ResponseOf(const absl::Status& status);

// A status that ErrorOf() turns into exactly that HTTP status.
absl::Status HttpError(int http_status, const std::string& message);

}  // namespace facet

#endif  // FACET_RPC_OPENAI_API_ERROR_H_
