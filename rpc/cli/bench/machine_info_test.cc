#include "rpc/cli/bench/machine_info.h"

#include "gtest/gtest.h"

namespace facet {
namespace {

TEST(MachineInfoTest, ANameIsNeverEmpty) { EXPECT_NE(CpuName(), ""); }

TEST(MachineInfoTest, TheLargestCacheIsUnknownOrOfPlausibleSize) {
  const int64_t bytes = LargestCacheBytes();
  if (bytes == 0) GTEST_SKIP() << "the kernel does not say";
  EXPECT_GE(bytes, 32 << 10);
  EXPECT_LE(bytes, int64_t{4} << 30);
}

TEST(MachineInfoTest, PressureNeverFalls) {
  const double before = CpuPressureSeconds();
  if (before < 0) GTEST_SKIP() << "the kernel does not say";
  EXPECT_GE(CpuPressureSeconds(), before);
}

}  // namespace
}  // namespace facet
