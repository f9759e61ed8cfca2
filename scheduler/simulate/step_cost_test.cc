#include "scheduler/simulate/step_cost.h"

#include <fstream>
#include <iterator>

#include "gtest/gtest.h"
#include "runtime/config/model_config.h"
#include "runtime/plan/work.h"

namespace facet {
namespace {

ModelConfig Published(const std::string& name) {
  std::ifstream file("runtime/config/testdata/" + name + ".config.json");
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  absl::StatusOr<ModelConfig> model = ParseModelConfig(text);
  EXPECT_TRUE(model.ok()) << name << ": " << model.status();
  return *std::move(model);
}

SequenceSlice Slice(int64_t start, int64_t count, bool sample) {
  SequenceSlice slice;
  slice.sequence = {1};
  slice.start = start;
  slice.tokens.assign(count, 7);
  slice.sample = sample;
  return slice;
}

StepPlan Step(std::vector<SequenceSlice> slices) {
  StepPlan plan;
  plan.slices = std::move(slices);
  return plan;
}

// A machine without overheads: bytes or FLOPs alone.
MachineFigures BoundBy(double bytes_per_s, double flops_per_s) {
  MachineFigures machine;
  machine.bytes_per_s = bytes_per_s;
  machine.flops_per_s = flops_per_s;
  return machine;
}

TEST(StepCostTest, PresetsAreTheFiguresOfThePublishedConfigs) {
  const std::pair<const char*, const char*> models[] = {
      {"e2b", "gemma-4-E2B"},
      {"e4b", "gemma-4-E4B"},
      {"26b-a4b", "gemma-4-26B-A4B"},
      {"31b", "gemma-4-31B"},
      {"120b-a15b", "hypothetical-120B-A15B"}};
  for (const auto& [name, config] : models) {
    const absl::StatusOr<ModelFigures> preset = ModelPreset(name);
    ASSERT_TRUE(preset.ok()) << preset.status();
    const ModelFigures figures = FiguresOf(Published(config), 2);
    EXPECT_DOUBLE_EQ(preset->weight_bytes, figures.weight_bytes) << name;
    EXPECT_DOUBLE_EQ(preset->expert_bytes, figures.expert_bytes) << name;
    EXPECT_EQ(preset->experts, figures.experts) << name;
    EXPECT_EQ(preset->experts_per_token, figures.experts_per_token) << name;
    EXPECT_DOUBLE_EQ(preset->token_flops, figures.token_flops) << name;
    EXPECT_DOUBLE_EQ(preset->head_flops, figures.head_flops) << name;
    EXPECT_EQ(preset->sliding_key_flops, figures.sliding_key_flops) << name;
    EXPECT_EQ(preset->global_key_flops, figures.global_key_flops) << name;
    EXPECT_EQ(preset->sliding_token_bytes, figures.sliding_token_bytes) << name;
    EXPECT_EQ(preset->global_token_bytes, figures.global_token_bytes) << name;
    EXPECT_EQ(preset->sliding_window, figures.sliding_window) << name;
    EXPECT_EQ(preset->vocab_size, figures.vocab_size) << name;
    EXPECT_EQ(preset->max_positions, figures.max_positions) << name;
  }
}

TEST(StepCostTest, FlopsAreThoseOfTheWorkThereIs) {
  for (const char* name : {"gemma-4-E2B", "gemma-4-26B-A4B"}) {
    const ModelConfig model = Published(name);
    const ModelFigures figures = FiguresOf(model, 2);
    const MachineFigures machine = BoundBy(1e30, 1);
    for (const int64_t tokens : {1, 300, 512, 513, 1024, 1025, 5000}) {
      const double whole =
          StageSeconds(Step({Slice(0, tokens, true)}), figures, machine, 1);
      EXPECT_NEAR(whole / PrefillFlops(model, tokens), 1, 1e-9) << tokens;
      const double one =
          StageSeconds(Step({Slice(tokens, 1, true)}), figures, machine, 1);
      EXPECT_NEAR(one / DecodeFlops(model, tokens), 1, 1e-9) << tokens;
      // In two chunks the same, but for the order of additions.
      const int64_t half = tokens / 2;
      if (half == 0) continue;
      const double chunks =
          StageSeconds(Step({Slice(0, half, false)}), figures, machine, 1) +
          StageSeconds(Step({Slice(half, tokens - half, true)}), figures,
                       machine, 1);
      EXPECT_NEAR(chunks / whole, 1, 1e-9) << tokens;
    }
  }
}

TEST(StepCostTest, DecodeReadsWeightsOnceAndEachSequencesContext) {
  const ModelConfig model = Published("gemma-4-26B-A4B");
  const ModelFigures figures = FiguresOf(model, 2);
  const MachineFigures machine = BoundBy(1, 1e30);
  std::vector<SequenceSlice> slices(8, Slice(4095, 1, true));
  const double context = 4096 * figures.global_token_bytes +
                         model.sliding_window * figures.sliding_token_bytes;
  EXPECT_NEAR(StageSeconds(Step(slices), figures, machine, 1) /
                  (DecodeStepWeightBytes(model, 8) + 8 * context),
              1, 1e-9);
}

TEST(StepCostTest, StagesDivideTheWorkButNotTheOverhead) {
  const ModelFigures figures = FiguresOf(Published("gemma-4-E2B"), 2);
  MachineFigures machine = BoundBy(1e9, 1e15);
  const StepPlan plan = Step({Slice(100, 1, true), Slice(0, 16, false)});
  const double work = StageSeconds(plan, figures, machine, 1);
  machine.step_s = 3;
  machine.slice_s = 0.5;
  EXPECT_DOUBLE_EQ(StageSeconds(plan, figures, machine, 4),
                   3 + 2 * 0.5 + work / 4);
  EXPECT_EQ(StageSeconds(StepPlan(), figures, machine, 4), 0);
}

TEST(StepCostTest, RefusalNamesTheKnownPresets) {
  EXPECT_EQ(ModelPreset("7b").status().message(),
            "no model \"7b\", known are e2b, e4b, 26b-a4b, 31b, 120b-a15b");
  EXPECT_EQ(MachinePreset("abacus").status().message(),
            "no machine \"abacus\", known are cpu-2core, h100, h200");
}

}  // namespace
}  // namespace facet
