#include "rpc/convert/grpc_status.h"

#include <map>

#include "gtest/gtest.h"
#include "rpc/coordinator/retry_after.h"
#include "rpc/proto/error_details.pb.h"

namespace facet {
namespace {

// The details by their type's last word.
std::map<std::string, std::string> DetailsOf(const grpc::Status& status) {
  v1::RpcStatus details;
  EXPECT_TRUE(details.ParseFromString(status.error_details()));
  EXPECT_EQ(details.code(), status.error_code());
  EXPECT_EQ(details.message(), status.error_message());
  std::map<std::string, std::string> result;
  for (const google::protobuf::Any& one : details.details()) {
    const std::string prefix = "type.googleapis.com/google.rpc.";
    EXPECT_EQ(one.type_url().find(prefix), 0u) << one.type_url();
    result[one.type_url().substr(prefix.size())] = one.value();
  }
  return result;
}

TEST(GrpcStatusTest, TheFieldAtFaultIsNamed) {
  const grpc::Status status =
      ToGrpc(absl::InvalidArgumentError("messages[0].role: missing, give one"));
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  const auto details = DetailsOf(status);
  v1::BadRequest bad;
  ASSERT_TRUE(bad.ParseFromString(details.at("BadRequest")));
  ASSERT_EQ(bad.field_violations_size(), 1);
  EXPECT_EQ(bad.field_violations(0).field(), "messages[0].role");
  v1::ErrorInfo info;
  ASSERT_TRUE(info.ParseFromString(details.at("ErrorInfo")));
  EXPECT_EQ(info.reason(), "INVALID_FIELD");
  EXPECT_EQ(info.domain(), "facet");
}

TEST(GrpcStatusTest, WhatHelpsWhenWaitedForSaysHowLong) {
  const auto details = DetailsOf(ToGrpc(WithRetryAfter(
      absl::ResourceExhaustedError("full"), absl::Milliseconds(2500))));
  v1::RetryInfo retry;
  ASSERT_TRUE(retry.ParseFromString(details.at("RetryInfo")));
  EXPECT_EQ(retry.retry_delay().seconds(), 2);
  EXPECT_EQ(retry.retry_delay().nanos(), 500000000);
  EXPECT_EQ(details.count("BadRequest"), 0u);
}

TEST(GrpcStatusTest, ALongMessageIsCutBetweenCharacters) {
  std::string message = "x";
  while (message.size() < 5000) message += "ä";
  const grpc::Status status = ToGrpc(absl::InternalError(message));
  EXPECT_EQ(status.error_message().size(), 1023u);
}

TEST(GrpcStatusTest, SuccessHasNoDetails) {
  EXPECT_TRUE(ToGrpc(absl::OkStatus()).ok());
  EXPECT_EQ(ToGrpc(absl::OkStatus()).error_details(), "");
}

}  // namespace
}  // namespace facet
