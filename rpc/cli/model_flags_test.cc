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

class NumericsFlagsTest : public testing::Test {
 protected:
  NumericsFlagsTest() { flags_.model = "tests/testdata/golden/dense-tiny"; }
  NumericsOptions Numerics() {
    const auto options = MakeClusterOptions(flags_);
    EXPECT_TRUE(options.ok()) << options.status();
    return options.ok() ? options->numerics : NumericsOptions();
  }

  ModelFlags flags_;
};

TEST_F(NumericsFlagsTest, NothingAskedForIsExactAndUnrounded) {
  EXPECT_EQ(Numerics(), NumericsOptions());
  EXPECT_EQ(NumericsName(Numerics()), "f32");
}

TEST_F(NumericsFlagsTest, FastRoundsInputsAndExactKeepsWhatIsAskedFor) {
  flags_.numerics = "fast";
  EXPECT_TRUE(Numerics().fast);
  EXPECT_EQ(Numerics().activations, Activations::kBF16);
  flags_.activations = "bf16";
  EXPECT_TRUE(Numerics().fast);
  EXPECT_EQ(NumericsName(Numerics()), "fast");
  flags_.numerics = "exact";
  EXPECT_FALSE(Numerics().fast);
  EXPECT_EQ(NumericsName(Numerics()), "bf16");
}

TEST_F(NumericsFlagsTest, AContradictionIsRefusedWithWhatToType) {
  flags_.numerics = "fast";
  flags_.activations = "f32";
  const absl::Status status = MakeClusterOptions(flags_).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(status.message().find("--numerics=fast alone"),
            absl::string_view::npos);
  EXPECT_NE(status.message().find("--activations=f32 alone"),
            absl::string_view::npos);
}

TEST_F(NumericsFlagsTest, OtherWordsAreRefusedWithTheTwoThatAreKnown) {
  flags_.numerics = "quick";
  const std::string message(MakeClusterOptions(flags_).status().message());
  EXPECT_NE(message.find("--numerics"), std::string::npos) << message;
  EXPECT_NE(message.find("exact or fast"), std::string::npos) << message;
}

}  // namespace
}  // namespace facet
