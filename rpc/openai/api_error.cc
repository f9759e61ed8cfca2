#include "rpc/openai/api_error.h"

#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/cord.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "rpc/coordinator/retry_after.h"

namespace facet {
namespace {

constexpr char kHttpStatus[] = "facet.v1/http-status";

struct Rename {
  const char* inner;
  const char* outer;
};
// What the front door calls otherwise.
constexpr Rename kRenames[] = {
    {"stop_ids", "stop_token_ids"},     {"json_schema", "response_format"},
    {"json_object", "response_format"}, {"format", "response_format"},
    {"regex", "structured_outputs"},    {"grammar", "structured_outputs"},
    {"choices", "structured_outputs"},  {"conversation", "messages"},
};

// "messages[0].content: ..." gives "messages[0].content"; otherwise "".
std::string FieldOf(absl::string_view message) {
  const size_t colon = message.find(':');
  if (colon == absl::string_view::npos || colon == 0) return "";
  absl::string_view word = message.substr(0, colon);
  for (const char c : word) {
    if (!absl::ascii_isalnum(c) && c != '_' && c != '.' && c != '[' &&
        c != ']' && c != '-') {
      return "";
    }
  }
  return std::string(word.data(), word.size());
}

int HttpStatusOf(const absl::Status& status) {
  const auto given = status.GetPayload(kHttpStatus);
  int code = 0;
  if (given.has_value() && absl::SimpleAtoi(std::string(*given), &code)) {
    return code;
  }
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kOutOfRange:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kUnimplemented:
      return 400;
    case absl::StatusCode::kUnauthenticated:
      return 401;
    case absl::StatusCode::kPermissionDenied:
      return 403;
    case absl::StatusCode::kNotFound:
      return 404;
    case absl::StatusCode::kAlreadyExists:
      return 409;
    case absl::StatusCode::kResourceExhausted:
      return 429;
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kCancelled:
      return 503;
    case absl::StatusCode::kDeadlineExceeded:
      return 504;
    default:
      return 500;
  }
}

const char* TypeOf(int status) {
  switch (status) {
    case 401:
      return "authentication_error";
    case 403:
      return "permission_error";
    case 404:
      return "not_found_error";
    case 429:
      return "rate_limit_error";
    case 504:
      return "timeout_error";
    default:
      return status < 500 ? "invalid_request_error" : "server_error";
  }
}

const char* CodeOf(const absl::Status& status, const std::string& param) {
  if (status.code() == absl::StatusCode::kCancelled) return "cancelled";
  switch (HttpStatusOf(status)) {
    case 400:
      break;
    case 401:
      return "invalid_api_key";
    case 404:
      return param == "model" ? "model_not_found" : "not_found";
    case 405:
      return "method_not_allowed";
    case 409:
      return "idempotency_key_in_use";
    case 413:
      return "request_too_large";
    case 415:
      return "unsupported_media_type";
    case 429:
      return "rate_limit_exceeded";
    case 503:
      return "service_unavailable";
    case 504:
      return "timeout";
    default:
      return "internal_error";
  }
  const absl::string_view message = status.message();
  if (absl::StrContains(message, ": not supported")) {
    return "unsupported_parameter";
  }
  if (absl::StrContains(message, ": unknown field")) return "unknown_parameter";
  if (absl::StrContains(message, ": missing")) {
    return "missing_required_parameter";
  }
  if (absl::StrContains(message, "context") ||
      absl::StrContains(message, "KV memory")) {
    return "context_length_exceeded";
  }
  return param.empty() ? "invalid_request" : "invalid_value";
}

}  // namespace

ApiError ErrorOf(const absl::Status& status) {
  ApiError error;
  error.status = HttpStatusOf(status);
  error.message = std::string(status.message().data(), status.message().size());
  error.type = TypeOf(error.status);
  if (error.status == 400 || error.status == 404) {
    error.param = FieldOf(status.message());
    for (const Rename& rename : kRenames) {
      if (error.param == rename.inner) error.param = rename.outer;
    }
  }
  error.code = CodeOf(status, error.param);
  return error;
}

ApiJson ErrorBody(const ApiError& error) {
  ApiJson inner;
  inner["message"] = error.message;
  inner["type"] = error.type;
  inner["param"] =
      error.param.empty() ? ApiJson(nullptr) : ApiJson(error.param);
  inner["code"] = error.code;
  ApiJson body;
  body["error"] = std::move(inner);
  return body;
}

HttpResponse ResponseOf(const absl::Status& status) {
  const ApiError error = ErrorOf(status);
  HttpResponse response;
  response.status = error.status;
  response.content_type = "application/json";
  response.body = PrintApiJson(ErrorBody(error));
  if (error.status == 401) {
    response.headers.push_back({"WWW-Authenticate", "Bearer"});
  }
  std::optional<absl::Duration> wait = RetryAfter(status);
  if (!wait.has_value() && (error.status == 429 || error.status == 503)) {
    wait = absl::Seconds(1);
  }
  if (wait.has_value()) {
    const int64_t seconds =
        absl::ToInt64Seconds(absl::Ceil(*wait, absl::Seconds(1)));
    response.headers.push_back({"Retry-After", absl::StrCat(seconds)});
    response.headers.push_back(
        {"Retry-After-Ms", absl::StrCat(absl::ToInt64Milliseconds(*wait))});
  }
  return response;
}

absl::Status HttpError(int http_status, const std::string& message) {
  absl::Status status = absl::InternalError(message);
  status.SetPayload(kHttpStatus, absl::Cord(absl::StrCat(http_status)));
  return status;
}

}  // namespace facet
