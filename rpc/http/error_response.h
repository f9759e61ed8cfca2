// Errors in the shape OpenAI's API gives them, which its clients parse:
// {"error": {"message": ..., "type": ..., "param": null, "code": ...}}
#ifndef FACET_RPC_HTTP_ERROR_RESPONSE_H_
#define FACET_RPC_HTTP_ERROR_RESPONSE_H_

#include <string>

#include "rpc/http/http_message.h"

namespace facet {

// `status` is 400 to 599. `message` may be any bytes.
HttpResponse ErrorResponse(int status, const std::string& message);

}  // namespace facet

#endif  // FACET_RPC_HTTP_ERROR_RESPONSE_H_
