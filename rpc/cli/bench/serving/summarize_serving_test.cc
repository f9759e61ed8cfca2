#include "rpc/cli/bench/serving/summarize_serving.h"

#include <cmath>
#include <string>

#include "gtest/gtest.h"
#include "runtime/plan/work.h"

namespace facet {
namespace {

using std::chrono::milliseconds;

ModelConfig SmallModel() {
  ModelConfig model;
  model.vocab_size = 1000;
  model.hidden_size = 64;
  model.query_heads = 4;
  model.sliding_window = 32;
  LayerConfig layer;
  layer.head_dim = 16;
  layer.kv_heads = 2;
  layer.intermediate_size = 128;
  model.layers.assign(2, layer);
  model.layers[1].kind = LayerKind::kGlobal;
  model.layers[1].kv_source = 1;
  return model;
}

SteadyClock::time_point At(int ms) {
  return SteadyClock::time_point(milliseconds(ms));
}

ServedStep Step(int begin_ms, int end_ms, std::vector<SliceShape> slices) {
  ServedStep step;
  step.begin = At(begin_ms);
  step.end = At(end_ms);
  step.compute_s = (end_ms - begin_ms) / 1e3;
  step.slices = std::move(slices);
  return step;
}

const Figure* Find(const BenchReport& report, const std::string& group,
                   const std::string& name) {
  for (const Figure& figure : report.figures) {
    if (figure.group == group && figure.name == name) return &figure;
  }
  return nullptr;
}

class SummarizeServingTest : public testing::Test {
 protected:
  SummarizeServingTest() {
    context_.model = &model_;
    context_.kv_bytes_per_element = 4;
  }

  double Bytes(const std::vector<SliceShape>& slices) const {
    const StepWork work = WorkOfStep(model_, slices, 4);
    return work.weight_bytes + work.kv_bytes;
  }

  const ModelConfig model_ = SmallModel();
  ServingContext context_;
};

TEST_F(SummarizeServingTest, StepsAtTheEdgesCountByTheShareInside) {
  const std::vector<SliceShape> decode = {{10, 1, 1}};
  const std::vector<SliceShape> prefill = {{0, 50, 1}, {10, 1, 1}};
  const std::vector<ServedStep> steps = {
      Step(0, 100, decode), Step(100, 200, decode), Step(200, 600, prefill),
      Step(600, 700, decode)};
  // Bytes rule: floating-point operations are free.
  const MachineRates rates{/*bytes_per_s=*/1e6, /*flops_per_s=*/1e18};
  const StepTotals totals = TotalsOf(steps, At(50), At(300), context_, rates);
  EXPECT_NEAR(totals.steps, 0.5 + 1 + 0.25, 1e-9);
  EXPECT_NEAR(totals.tokens, 0.5 + 1 + 0.25 * 51, 1e-9);
  EXPECT_NEAR(totals.decode_only_s, 0.150, 1e-9);
  EXPECT_NEAR(totals.prefill_s, 0.100, 1e-9);
  EXPECT_NEAR(totals.decode_bound_s, 1.5 * Bytes(decode) / 1e6, 1e-9);
  EXPECT_NEAR(totals.prefill_bound_s, 0.25 * Bytes(prefill) / 1e6, 1e-9);
  EXPECT_NEAR(totals.compute_s, 0.250, 1e-9);
}

TEST_F(SummarizeServingTest, TheLongerOfBytesAndFlopsBinds) {
  const std::vector<SliceShape> slices = {{0, 64, 1}};
  const std::vector<ServedStep> steps = {Step(0, 100, slices)};
  const double flops = WorkOfStep(model_, slices, 4).flops;
  for (double factor : {0.5, 2.0}) {
    const MachineRates rates{Bytes(slices), flops * factor};
    const StepTotals totals = TotalsOf(steps, At(0), At(100), context_, rates);
    EXPECT_NEAR(totals.prefill_bound_s, std::max(1.0, 1 / factor), 1e-9);
  }
}

ServedLoad Load(int concurrency, int64_t output_tokens) {
  ServedLoad load;
  load.shape.concurrency = concurrency;
  load.seen.begin = At(0);
  load.seen.end = At(10000);
  load.seen.output_tokens = output_tokens;
  load.seen.requests = 3;
  load.seen.prompt_tokens = 500;
  load.seen.first_token_s = {0.1, 0.2, 0.3};
  load.seen.next_token_s = {0.05};
  load.seen.end_to_end_s = {1};
  return load;
}

TEST_F(SummarizeServingTest, ThroughputIsHeldAgainstTheBoundOfItsSteps) {
  const std::vector<SliceShape> slices = {{10, 1, 1}};
  ServedLoad load = Load(1, 100);
  for (int i = 0; i < 100; ++i) {
    load.steps.push_back(Step(100 * i, 100 * i + 100, slices));
  }
  LimitSample sample;
  // Each step could take 60 ms of its 100.
  sample.matvec_gb_per_s = Bytes(slices) / 0.060 / 1e9;
  sample.fma_gflop_per_s = 1e9;
  load.before = load.after = sample;
  ServingMeasurements all;
  all.loads = {load, Load(8, 450)};
  const BenchReport report = SummarizeServing(all, context_);

  const Figure* const output = Find(report, "closed 1", "output_tokens_per_s");
  ASSERT_NE(output, nullptr);
  EXPECT_NEAR(output->value.median, 10, 1e-9);
  EXPECT_NEAR(output->fraction(), 0.6, 1e-6);
  EXPECT_NEAR(Find(report, "closed 1", "total_tokens_per_s")->value.median, 60,
              1e-9);
  EXPECT_NEAR(Find(report, "closed 8", "times_concurrency_1")->value.median,
              4.5, 1e-9);
  EXPECT_NEAR(Find(report, "closed 8", "first_token_p50")->value.median, 200,
              1e-9);
}

TEST_F(SummarizeServingTest, AServerElsewhereHasNoBounds) {
  ServingMeasurements all;
  all.loads = {Load(1, 100)};
  const BenchReport report = SummarizeServing(all, ServingContext());
  EXPECT_EQ(Find(report, "closed 1", "output_tokens_per_s")->limit, 0);
  ASSERT_EQ(report.notes.size(), 1);
}

TEST_F(SummarizeServingTest, APrefixIsHeldAgainstATenthOfItsFirstUse) {
  ServingMeasurements all;
  all.prefix = PrefixUse{2000, 1984, /*first_s=*/20, /*second_s=*/0.5};
  const BenchReport report = SummarizeServing(all, context_);
  EXPECT_NEAR(Find(report, "prefix 2000", "first_token_again")->fraction(),
              0.25, 1e-9);
  EXPECT_NEAR(Find(report, "prefix 2000", "again_of_first")->value.median,
              0.025, 1e-9);
}

}  // namespace
}  // namespace facet
