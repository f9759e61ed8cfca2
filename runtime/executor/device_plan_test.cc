#include "runtime/executor/device_plan.h"

#include <fstream>
#include <sstream>
#include <string>

#include "gtest/gtest.h"

namespace facet {
namespace {

ModelConfig Published(const std::string& name) {
  std::ifstream file("runtime/config/testdata/" + name + ".config.json");
  std::stringstream text;
  text << file.rdbuf();
  return *ParseModelConfig(text.str());
}

class DeviceFitTest : public testing::Test {
 protected:
  ModelConfig model_ = Published("gemma-4-31B");
  ShardPlan plan_ = *ShardPlan::Create(model_, {});
};

TEST_F(DeviceFitTest, WhatFitsIsTaken) {
  EXPECT_TRUE(CheckFits(model_, plan_, 0, {50, 30, 20}, "gpu", 100).ok());
}

TEST_F(DeviceFitTest, TooManyPagesAreAnsweredWithHowManyWouldFit) {
  const DeviceNeeds needs = {int64_t{60} << 30, int64_t{30} << 30,
                             int64_t{1} << 30};
  const absl::Status status =
      CheckFits(model_, plan_, 0, needs, "gpu 0", int64_t{80} << 30);
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  const std::string message(status.message());
  EXPECT_NE(message.find("gpu 0"), std::string::npos);
  EXPECT_NE(message.find("11.81 GB are missing"), std::string::npos) << message;
  EXPECT_NE(message.find("--kv-memory=19456M"), std::string::npos) << message;
}

TEST_F(DeviceFitTest, TooManyWeightsAreAnsweredWithAPlanThatFits) {
  const int64_t weights = plan_.WeightBytes(model_, 0);
  const DeviceNeeds needs = {weights, 1 << 20, 1 << 20};
  const absl::Status status =
      CheckFits(model_, plan_, 0, needs, "gpu", weights * 3 / 4);
  const std::string message(status.message());
  EXPECT_NE(message.find("would fit on"), std::string::npos) << message;
}

// What a product of a rank reads: the input of down_proj, cut by tensor
// parallelism until the residual stream is wider.
TEST_F(DeviceFitTest, LimitsKnowTheWidestInputOfARank) {
  EXPECT_EQ(LimitsOf(model_, plan_, 0, 512).widest_input, 21504);
  ParallelismOptions eight;
  eight.tp_size = 8;
  const ShardPlan cut = *ShardPlan::Create(model_, eight);
  EXPECT_EQ(LimitsOf(model_, cut, 3, 512).widest_input, 5376);
  const ModelConfig experts = Published("gemma-4-26B-A4B");
  const ShardPlan whole = *ShardPlan::Create(experts, {});
  EXPECT_EQ(LimitsOf(experts, whole, 0, 512).widest_input, 16 * 512);
}

}  // namespace
}  // namespace facet
