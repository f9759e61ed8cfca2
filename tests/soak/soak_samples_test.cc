#include "tests/soak/soak_samples.h"

#include "gtest/gtest.h"

namespace facet {
namespace {

constexpr int64_t kMegabyte = 1'000'000;

// Two processes; the second grows by `growth` bytes with each sample.
std::vector<MemorySample> Growing(int samples, int64_t growth) {
  std::vector<MemorySample> all;
  for (int i = 0; i < samples; ++i) {
    all.push_back({50 * kMegabyte, 20 * kMegabyte + i * growth});
  }
  return all;
}

TEST(SoakSamplesTest, SteadyGrowthIsFoundAndNamed) {
  EXPECT_TRUE(CheckFlat(Growing(30, 0), kMegabyte).ok());
  EXPECT_TRUE(CheckFlat(Growing(30, kMegabyte / 20), kMegabyte).ok());
  const absl::Status leak = CheckFlat(Growing(30, kMegabyte / 5), kMegabyte);
  EXPECT_EQ(leak.code(), absl::StatusCode::kInternal);
  EXPECT_NE(leak.message().find("worker 0"), absl::string_view::npos);
}

TEST(SoakSamplesTest, GrowthAtTheBeginningIsAllowed) {
  std::vector<MemorySample> samples = Growing(30, 0);
  for (int i = 0; i < 10; ++i) samples[i][1] = i * kMegabyte;
  EXPECT_TRUE(CheckFlat(samples, kMegabyte).ok());
}

TEST(SoakSamplesTest, TooFewSamplesAndLostProcessesAreNoProof) {
  EXPECT_EQ(CheckFlat(Growing(2, 0), kMegabyte).code(),
            absl::StatusCode::kFailedPrecondition);
  std::vector<MemorySample> samples = Growing(9, 0);
  samples[4].pop_back();
  EXPECT_EQ(CheckFlat(samples, kMegabyte).code(),
            absl::StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace facet
