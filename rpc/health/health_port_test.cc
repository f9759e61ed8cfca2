#include "rpc/health/health_port.h"

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <string>

#include "absl/time/clock.h"
#include "gtest/gtest.h"

namespace facet {
namespace {

// grpc.health.v1.Health/Check by hand: field 1 of the request is the name,
// field 1 of the answer the status, of which 1 is SERVING and 2 is NOT_SERVING.
grpc::ByteBuffer Request(const std::string& name) {
  std::string bytes;
  if (!name.empty()) {
    bytes = std::string("\x0a") + static_cast<char>(name.size()) + name;
  }
  const grpc::Slice slice(bytes);
  return grpc::ByteBuffer(&slice, 1);
}

std::string Check(const HealthPort& port, const std::string& name) {
  const auto channel =
      grpc::CreateChannel(port.address(), grpc::InsecureChannelCredentials());
  grpc::GenericStub stub(channel);
  grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(absl::Now() + absl::Seconds(60)));
  grpc::CompletionQueue queue;
  const auto call = stub.PrepareUnaryCall(
      &context, "/grpc.health.v1.Health/Check", Request(name), &queue);
  call->StartCall();
  grpc::ByteBuffer answer;
  grpc::Status status;
  call->Finish(&answer, &status, nullptr);
  void* tag = nullptr;
  bool ok = false;
  queue.Next(&tag, &ok);
  if (!status.ok()) {
    return status.error_code() == grpc::StatusCode::NOT_FOUND
               ? "unknown name"
               : status.error_message();
  }
  grpc::Slice bytes;
  if (!answer.DumpToSingleSlice(&bytes).ok() || bytes.size() != 2) {
    return "no answer";
  }
  return bytes.begin()[1] == 1 ? "serving" : "not serving";
}

std::unique_ptr<HealthPort> Start() {
  absl::StatusOr<std::unique_ptr<HealthPort>> port =
      HealthPort::Start("127.0.0.1:0");
  EXPECT_TRUE(port.ok()) << port.status();
  return port.ok() ? *std::move(port) : nullptr;
}

TEST(HealthPort, AliveAndNotReadyFromTheStart) {
  const auto port = Start();
  ASSERT_NE(port, nullptr);
  EXPECT_EQ(Check(*port, "liveness"), "serving");
  EXPECT_EQ(Check(*port, "readiness"), "not serving");
  EXPECT_EQ(Check(*port, ""), "not serving");
}

TEST(HealthPort, ReadinessFollowsWhatItIsTold) {
  const auto port = Start();
  ASSERT_NE(port, nullptr);
  port->SetReady(true);
  EXPECT_EQ(Check(*port, "readiness"), "serving");
  EXPECT_EQ(Check(*port, ""), "serving");
  port->SetReady(false);
  EXPECT_EQ(Check(*port, "readiness"), "not serving");
  EXPECT_EQ(Check(*port, "liveness"), "serving");
}

TEST(HealthPort, ALoopThatStopsBeatingIsNotAliveUntilItBeatsAgain) {
  const auto port = Start();
  ASSERT_NE(port, nullptr);
  port->Beat(absl::Milliseconds(1));
  while (Check(*port, "liveness") == "serving") {
    absl::SleepFor(absl::Milliseconds(20));
  }
  EXPECT_EQ(Check(*port, "liveness"), "not serving");
  port->Beat(absl::Hours(1));
  while (Check(*port, "liveness") == "not serving") {
    absl::SleepFor(absl::Milliseconds(20));
  }
  EXPECT_EQ(Check(*port, "liveness"), "serving");
}

TEST(HealthPort, OtherNamesAreUnknown) {
  const auto port = Start();
  ASSERT_NE(port, nullptr);
  EXPECT_EQ(Check(*port, "nonsense"), "unknown name");
}

TEST(HealthPort, AnAddressThatIsTakenIsRefused) {
  const auto port = Start();
  ASSERT_NE(port, nullptr);
  EXPECT_EQ(HealthPort::Start(port->address()).status().code(),
            absl::StatusCode::kUnavailable);
}

}  // namespace
}  // namespace facet
