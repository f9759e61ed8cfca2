#include "rpc/http/error_response.h"

#include <nlohmann/json.hpp>

namespace facet {
namespace {

const char* TypeOf(int status) {
  if (status == 429) return "rate_limit_error";
  return status < 500 ? "invalid_request_error" : "server_error";
}

const char* CodeOf(int status) {
  switch (status) {
    case 404:
      return "not_found";
    case 405:
      return "method_not_allowed";
    case 408:
      return "request_timeout";
    case 413:
      return "request_too_large";
    case 429:
      return "rate_limit_exceeded";
    case 431:
      return "headers_too_large";
    case 503:
      return "service_unavailable";
    default:
      return status < 500 ? "invalid_request" : "internal_error";
  }
}

}  // namespace

HttpResponse ErrorResponse(int status, const std::string& message) {
  nlohmann::ordered_json error;
  error["message"] = message;
  error["type"] = TypeOf(status);
  error["param"] = nullptr;
  error["code"] = CodeOf(status);
  nlohmann::ordered_json body;
  body["error"] = std::move(error);
  HttpResponse response;
  response.status = status;
  response.content_type = "application/json";
  response.body = body.dump(-1, ' ', false,
                            nlohmann::ordered_json::error_handler_t::replace);
  return response;
}

}  // namespace facet
