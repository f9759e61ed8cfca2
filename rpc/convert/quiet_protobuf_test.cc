#include "rpc/convert/quiet_protobuf.h"

#include "gmock/gmock.h"
#include "google/protobuf/stubs/logging.h"
#include "gtest/gtest.h"

namespace facet {
namespace {

TEST(QuietProtobufTest, ItsErrorsGoToNoLog) {
  testing::internal::CaptureStderr();
  GOOGLE_LOG(ERROR) << "before";
  QuietProtobuf();
  GOOGLE_LOG(ERROR) << "afterwards";
  const std::string log = testing::internal::GetCapturedStderr();
  EXPECT_THAT(log, testing::HasSubstr("before"));
  EXPECT_THAT(log, testing::Not(testing::HasSubstr("afterwards")));
}

}  // namespace
}  // namespace facet
