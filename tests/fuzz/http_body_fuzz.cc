// Any bytes are read or refused as the body of every endpoint, and a refusal can
// be sent: a 400 with a text, as JSON.
#include <string>

#include "kernels/base/check.h"
#include "rpc/openai/api_error.h"
#include "rpc/openai/chat_request.h"
#include "rpc/openai/completion_request.h"
#include "rpc/openai/responses_request.h"
#include "rpc/openai/tokenize_request.h"
#include "tests/fuzz/fuzz_target.h"

namespace {

void CheckRefusal(const absl::Status& status) {
  if (status.ok()) return;
  const facet::ApiError error = facet::ErrorOf(status);
  FACET_CHECK(error.status >= 400 && error.status < 500);
  FACET_CHECK(!error.message.empty());
  const std::string body = facet::PrintApiJson(facet::ErrorBody(error));
  FACET_CHECK(facet::ParseApiJson(body).ok());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string body(reinterpret_cast<const char*>(data), size);
  CheckRefusal(facet::ParseChatRequest(body).status());
  CheckRefusal(facet::ParseCompletionRequest(body).status());
  CheckRefusal(facet::ParseResponsesRequest(body).status());
  CheckRefusal(facet::ParseTokenizeRequest(body).status());
  CheckRefusal(facet::ParseDetokenizeRequest(body).status());
  return 0;
}
