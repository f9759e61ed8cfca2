#include "runtime/executor/rank_device.h"

#include "gtest/gtest.h"
#include "kernels/cuda/open_device.h"

namespace facet {
namespace {

TEST(ParseDevice, TheProcessorsNeedNothingOpened) {
  const auto cpu = ParseDevice("cpu", 0);
  ASSERT_TRUE(cpu.ok()) << cpu.status();
  EXPECT_EQ(*cpu, nullptr);
}

TEST(ParseDevice, RefusalsNameTheFlagAndWhatIsTaken) {
  for (const char* text : {"", "gpu", "cuda:", "cuda:x", "cuda:-1", "cuda0"}) {
    const absl::Status status = ParseDevice(text, 0).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << text;
    EXPECT_NE(status.message().find("--device"), absl::string_view::npos);
    EXPECT_NE(status.message().find("cuda:N"), absl::string_view::npos);
  }
}

TEST(ParseDevice, GpusNeedABuildThatHasKernelsForThem) {
  for (const char* text : {"cuda", "cuda:3"}) {
    const auto device = ParseDevice(text, 0);
    ASSERT_EQ(device.ok(), CudaIsBuiltIn()) << text;
    if (device.ok()) continue;
    EXPECT_EQ(device.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_NE(device.status().message().find("--config=cuda"),
              absl::string_view::npos);
  }
}

}  // namespace
}  // namespace facet
