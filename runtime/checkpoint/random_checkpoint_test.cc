#include "runtime/checkpoint/random_checkpoint.h"

#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace facet {
namespace {

using testing::HasSubstr;

class RandomCheckpointTest : public testing::Test {
 protected:
  void Write(const std::string& text) {
    std::filesystem::create_directories(directory_);
    std::ofstream(directory_ + "/" + kRandomWeightsName) << text;
  }
  absl::StatusOr<std::unique_ptr<Checkpoint>> Open(const std::string& text) {
    Write(text);
    return Checkpoint::Open(directory_);
  }
  static std::string Tensors(const std::string& list) {
    return R"({"generator": "philox4x32-10", "seed": 4, "tensors": [)" + list +
           "]}";
  }

  const std::string directory_ =
      testing::TempDir() + "/random-" +
      testing::UnitTest::GetInstance()->current_test_info()->name();
};

const std::vector<DrawnTensor> kTensors = {
    {"norm", {24}, 0}, {"matrix", {6, 10}, 0.5f}, {"experts", {3, 4, 5}, 0.1f}};

TEST_F(RandomCheckpointTest, TensorsHaveTheirShapesAndVectorsTheirValues) {
  const auto opened = Open(RandomWeightsJson(4, kTensors));
  ASSERT_TRUE(opened.ok()) << opened.status();
  const Checkpoint& checkpoint = **opened;
  EXPECT_EQ(checkpoint.total_bytes(), 2 * (24 + 60 + 60));
  EXPECT_EQ(checkpoint.names().size(), 3u);
  const TensorView* experts = checkpoint.Find("experts");
  ASSERT_NE(experts, nullptr);
  EXPECT_EQ(experts->shape, kTensors[2].shape);
  EXPECT_EQ(experts->bytes, 120u);
  const TensorView* norm = checkpoint.Find("norm");
  for (int i = 0; i < 24; ++i) {
    BF16 one;
    std::memcpy(&one, norm->data + 2 * i, 2);
    EXPECT_EQ(ToFloat(one), 1.0f);
  }
  EXPECT_EQ(checkpoint.Find("other"), nullptr);
  EXPECT_EQ(checkpoint.FindRandom("other"), nullptr);
}

// Ranges begin and end anywhere, and threads share them.
TEST_F(RandomCheckpointTest, WhatIsDrawnHereIsWhatADeviceDraws) {
  const auto opened = Open(RandomWeightsJson(4, kTensors));
  ASSERT_TRUE(opened.ok()) << opened.status();
  for (const char* name : {"matrix", "experts"}) {
    const TensorView* view = (*opened)->Find(name);
    const absl::Status drawn = (*opened)->Draw(
        {{{view->data, 14}, {view->data + 14, view->bytes - 14}}}, 2, nullptr);
    ASSERT_TRUE(drawn.ok()) << drawn;
    const RandomTensor* random = (*opened)->FindRandom(name);
    ASSERT_NE(random, nullptr);
    EXPECT_EQ(random->seed, 4u);
    std::vector<BF16> expected(60);
    DrawOnHost(*random, {0, 1, 60, 60}, expected.data());
    EXPECT_EQ(std::memcmp(view->data, expected.data(), 120), 0) << name;
  }
}

TEST_F(RandomCheckpointTest, AModelLargerThanTheMachineTakesNoMemory) {
  const auto opened =
      Open(RandomWeightsJson(1, {{"huge", {1 << 20, 1 << 18}, 1}}));
  ASSERT_TRUE(opened.ok()) << opened.status();
  EXPECT_EQ((*opened)->total_bytes(), int64_t{1} << 39);
}

TEST_F(RandomCheckpointTest, RefusalsNameFileFieldAndWhatWasExpected) {
  const auto refusal = [&](const std::string& text) {
    const auto opened = Open(text);
    EXPECT_EQ(opened.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(opened.status().message(), HasSubstr(kRandomWeightsName));
    return std::string(opened.status().message());
  };
  EXPECT_THAT(refusal("[]"), HasSubstr("object"));
  EXPECT_THAT(refusal(R"({"generator": "dice", "tensors": [{}]})"),
              HasSubstr("generator: expected \"philox4x32-10\""));
  EXPECT_THAT(refusal(Tensors("")), HasSubstr("tensors: expected a list"));
  EXPECT_THAT(refusal(Tensors("3")), HasSubstr("tensors[0]"));
  EXPECT_THAT(refusal(Tensors(R"({"shape": [1]})")),
              HasSubstr("tensors[0].name"));
  for (const char* shape : {"3", "[]", "[0]", "[-1]", "[1.5]", "[\"a\"]",
                            "[4294967296, 4294967296]", "[1099511627777]"}) {
    EXPECT_THAT(refusal(Tensors(std::string(R"({"name": "a", "shape": )") +
                                shape + "}")),
                HasSubstr("tensors[0].shape: expected a few positive sizes"))
        << shape;
  }
  EXPECT_THAT(refusal(Tensors(R"({"name": "a", "shape": [1], "bound": -1})")),
              HasSubstr("tensors[0].bound"));
  EXPECT_THAT(refusal(Tensors(R"({"name": "a", "shape": [1]},)"
                              R"({"name": "a", "shape": [1]})")),
              HasSubstr("\"a\" is there twice"));
}

}  // namespace
}  // namespace facet
