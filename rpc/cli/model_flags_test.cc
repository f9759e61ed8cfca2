#include "rpc/cli/model_flags.h"

#include "gtest/gtest.h"

namespace facet {
namespace {

ModelConfig DenseModel() {
  auto model = ReadModelConfig("tests/testdata/golden/dense-tiny");
  EXPECT_TRUE(model.ok()) << model.status();
  return *std::move(model);
}

// "tp x pp", or the error's message.
std::string Resolve(const ParallelismFlags& flags) {
  const auto options = ResolveParallelism(flags, DenseModel());
  if (!options.ok()) return std::string(options.status().message());
  return std::to_string(options->tp_size) + " x " +
         std::to_string(options->pp_size);
}

TEST(ModelFlagsTest, WorkersAloneAreTensorRanksWhereLegalOtherwiseStages) {
  EXPECT_EQ(Resolve({}), "1 x 1");
  EXPECT_EQ(Resolve({.workers = 4}), "4 x 1");
  EXPECT_EQ(Resolve({.workers = 3}), "1 x 3");
}

TEST(ModelFlagsTest, OneOfThreeLeftOutIsWorkedOut) {
  EXPECT_EQ(Resolve({.tp = 2}), "2 x 1");
  EXPECT_EQ(Resolve({.tp = 2, .pp = 3}), "2 x 3");
  EXPECT_EQ(Resolve({.workers = 6, .tp = 2}), "2 x 3");
  EXPECT_EQ(Resolve({.workers = 6, .pp = 3}), "2 x 3");
  EXPECT_EQ(Resolve({.workers = 6, .tp = 2, .pp = 3}), "2 x 3");
  EXPECT_EQ(Resolve({.stage_layers = {5, 7}}), "1 x 2");
}

TEST(ModelFlagsTest, DisagreementNamesBothFlags) {
  const std::string message = Resolve({.workers = 5, .tp = 2, .pp = 2});
  EXPECT_NE(message.find("--workers=5"), std::string::npos) << message;
  EXPECT_NE(message.find("--tp=2"), std::string::npos) << message;
  EXPECT_NE(Resolve({.workers = 5, .tp = 2}).find("--workers=5"),
            std::string::npos);
  EXPECT_NE(Resolve({.tp = 0}).find("--tp"), std::string::npos);
}

TEST(ModelFlagsTest, ExpertsAreDividedAsFarAsTheyCanBe) {
  const auto model = ReadModelConfig("tests/testdata/golden/moe-tiny");
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ(ResolveParallelism({.workers = 4}, *model)->ep_size, 4);
  EXPECT_EQ(ResolveParallelism({.tp = 4, .ep = 2}, *model)->ep_size, 2);
  EXPECT_EQ(ResolveParallelism({.workers = 4}, DenseModel())->ep_size, 1);
}

TEST(ModelFlagsTest, DevicesThatAreNoneAreRefused) {
  ModelFlags flags;
  flags.model = "tests/testdata/golden/dense-tiny";
  EXPECT_TRUE(MakeClusterOptions(flags).ok());
  flags.device = "tpu";
  const absl::Status status = MakeClusterOptions(flags).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(status.message().find("--device"), absl::string_view::npos);
}

}  // namespace
}  // namespace facet
