#include "rpc/cli/bench/checkpoint_pages.h"

#include <cstdlib>
#include <string>

#include "gtest/gtest.h"
#include "runtime/checkpoint/synthetic.h"

namespace facet {
namespace {

class CheckpointPagesTest : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = std::string(std::getenv("TEST_TMPDIR")) + "/" +
                 testing::UnitTest::GetInstance()->current_test_info()->name();
    const absl::Status status =
        WriteSynthetic("tiny", directory_, SyntheticWeights::kWritten, nullptr);
    ASSERT_TRUE(status.ok()) << status;
  }
  std::string directory_;
};

TEST_F(CheckpointPagesTest, AFileJustReadIsInThePageCache) {
  ASSERT_TRUE(TimeReadingFiles(directory_).ok());
  const auto state = ReadPageCacheState(directory_);
  ASSERT_TRUE(state.ok()) << state.status();
  EXPECT_GT(state->bytes, 100'000);
  EXPECT_EQ(state->cached, 1.0);
}

TEST_F(CheckpointPagesTest, DroppingNeverAddsPagesAndHarmsNoByte) {
  DropFromPageCache(directory_);
  const auto state = ReadPageCacheState(directory_);
  ASSERT_TRUE(state.ok()) << state.status();
  // Some file systems live in the page cache and cannot drop anything.
  EXPECT_LE(state->cached, 1.0);
  EXPECT_TRUE(TimeReadingFiles(directory_).ok());
}

TEST_F(CheckpointPagesTest, LimitsAreTakenOverTheCheckpointItself) {
  const auto meter = LimitMeter::Open(directory_, /*threads=*/2);
  ASSERT_TRUE(meter.ok()) << meter.status();
  const MachineLimits limits = (*meter)->Measure(/*repeats=*/1);
  const auto state = ReadPageCacheState(directory_);
  EXPECT_GT(limits.bytes, 0);
  EXPECT_LE(limits.bytes, state->bytes);
  EXPECT_EQ(limits.threads, 2);
  EXPECT_GT((*meter)->Sample(limits.matvec_rows).matvec_gb_per_s, 0);
}

TEST_F(CheckpointPagesTest, AMissingDirectoryIsAnError) {
  EXPECT_EQ(LimitMeter::Open("/nonexistent", 1).status().code(),
            absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace facet
