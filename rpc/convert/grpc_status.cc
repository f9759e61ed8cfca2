#include "rpc/convert/grpc_status.h"

#include <string>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "rpc/coordinator/retry_after.h"
#include "rpc/proto/error_details.pb.h"
#include "runtime/tokenizer/utf8.h"

namespace facet {
namespace {

// Messages and details travel as headers.
constexpr size_t kMaxMessageBytes = 1024;

std::string FieldOf(const absl::Status& status) {
  if (status.code() != absl::StatusCode::kInvalidArgument) return "";
  const absl::string_view message = status.message();
  const size_t colon = message.find(':');
  if (colon == absl::string_view::npos) return "";
  const absl::string_view word = message.substr(0, colon);
  for (const char c : word) {
    if (!absl::ascii_isalnum(c) && !absl::StrContains("_.[]", c)) return "";
  }
  return std::string(word);
}

const char* ReasonOf(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kOutOfRange:
      return absl::StartsWith(status.message(), "prompt: ") &&
                     (absl::StrContains(status.message(), "context") ||
                      absl::StrContains(status.message(), "KV memory"))
                 ? "CONTEXT_LENGTH_EXCEEDED"
                 : "INVALID_FIELD";
    case absl::StatusCode::kResourceExhausted:
      return "QUEUE_OR_LIMIT";
    case absl::StatusCode::kUnauthenticated:
      return "UNKNOWN_KEY";
    case absl::StatusCode::kDeadlineExceeded:
      return "TIME_OVER";
    case absl::StatusCode::kUnavailable:
      return "UNAVAILABLE";
    case absl::StatusCode::kCancelled:
      return "CANCELLED";
    case absl::StatusCode::kAlreadyExists:
      return "KEY_IN_USE";
    case absl::StatusCode::kNotFound:
      return "NOT_FOUND";
    default:
      return "INTERNAL";
  }
}

// What PackFrom() writes, under the name that others know the bytes by.
void Add(const google::protobuf::Message& detail, v1::RpcStatus* status) {
  google::protobuf::Any* const any = status->add_details();
  any->set_type_url(absl::StrCat("type.googleapis.com/google.rpc.",
                                 detail.GetDescriptor()->name()));
  any->set_value(detail.SerializeAsString());
}

}  // namespace

grpc::Status ToGrpc(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  std::string message(status.message().substr(0, kMaxMessageBytes));
  message.resize(ValidUtf8Prefix(message));

  v1::RpcStatus details;
  details.set_code(static_cast<int>(status.code()));
  details.set_message(message);
  v1::ErrorInfo info;
  info.set_reason(ReasonOf(status));
  info.set_domain("facet");
  Add(info, &details);
  const std::string field = FieldOf(status);
  if (!field.empty()) {
    v1::BadRequest bad;
    v1::BadRequest::FieldViolation* const violation =
        bad.add_field_violations();
    violation->set_field(field);
    violation->set_description(message);
    Add(bad, &details);
  }
  if (const auto wait = RetryAfter(status)) {
    v1::RetryInfo retry;
    const int64_t nanoseconds = absl::ToInt64Nanoseconds(*wait);
    retry.mutable_retry_delay()->set_seconds(nanoseconds / 1000000000);
    retry.mutable_retry_delay()->set_nanos(
        static_cast<int32_t>(nanoseconds % 1000000000));
    Add(retry, &details);
  }
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()),
                      std::move(message), details.SerializeAsString());
}

}  // namespace facet
