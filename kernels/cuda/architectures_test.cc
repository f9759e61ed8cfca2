#include "kernels/cuda/architectures.h"

#include "gtest/gtest.h"

namespace facet {
namespace {

TEST(Architectures, TheOnesThatAreBuiltForAreTaken) {
  EXPECT_TRUE(CheckArchitecture(8, 0).ok());   // A100
  EXPECT_TRUE(CheckArchitecture(8, 9).ok());   // L40
  EXPECT_TRUE(CheckArchitecture(9, 0).ok());   // H100, H200
  EXPECT_TRUE(CheckArchitecture(10, 0).ok());  // B200
  EXPECT_TRUE(CheckArchitecture(12, 0).ok());  // from intermediate code
}

TEST(Architectures, OlderOnesAreRefusedByName) {
  const absl::Status status = CheckArchitecture(7, 5);
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_NE(status.message().find("7.5"), absl::string_view::npos) << status;
  EXPECT_NE(status.message().find("8.x, 9.0"), absl::string_view::npos);
}

}  // namespace
}  // namespace facet
