#include "rpc/cli/bench/summarize.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "runtime/plan/work.h"

namespace facet {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;

ModelConfig Model() {
  ModelConfig model;
  model.vocab_size = 32768;
  model.hidden_size = 1536;
  model.query_heads = 8;
  model.sliding_window = 1024;
  LayerConfig layer;
  layer.head_dim = 256;
  layer.kv_heads = 4;
  layer.intermediate_size = 6144;
  model.layers = {layer};
  return model;
}

MachineLimits LimitsOf(double matvec, double peak) {
  MachineLimits limits;
  limits.bytes = int64_t{100} << 30;
  limits.read_gb_per_s = {40, 39, 41};
  limits.matvec_gb_per_s = {matvec, matvec, matvec};
  limits.fma_gflop_per_s = {peak, peak, peak};
  limits.bf16_dot_gflop_per_s = {2 * peak, 2 * peak, 2 * peak};
  return limits;
}

class SummarizeTest : public testing::Test {
 protected:
  SummarizeTest() {
    all_.before = LimitsOf(28, 190);
    all_.after = LimitsOf(32, 210);
  }

  const Figure& Find(const std::string& group, const std::string& name,
                     bool bf16_dot = false) {
    report_ = Summarize(all_, {&model_, bf16_dot, 4});
    for (const Figure& figure : report_.figures) {
      if (figure.group == group && figure.name == name) return figure;
    }
    ADD_FAILURE() << group << "." << name << " is missing";
    static const Figure none;
    return none;
  }

  const ModelConfig model_ = Model();
  Measurements all_;
  BenchReport report_;
};

TEST_F(SummarizeTest, DecodeIsHeldAgainstTheMeanMatvecRate) {
  const StepWork work = WorkOfStep(model_, {SliceShape()}, 4);
  const double gigabytes = (work.weight_bytes + work.kv_bytes) / 1e9;
  DecodeRuns runs;
  runs.tokens_per_s = {14 / gigabytes, 15 / gigabytes, 16 / gigabytes};
  runs.step_s = {gigabytes / 15};
  runs.control_s = {100e-6};
  all_.decode.push_back(runs);
  EXPECT_NEAR(Find("decode", "bytes_per_s").value.median, 15, 1e-9);
  EXPECT_NEAR(Find("decode", "bytes_per_s").fraction(), 0.5, 1e-9);
  EXPECT_NEAR(Find("decode", "tokens_per_s").fraction(), 0.5, 1e-9);
  EXPECT_NEAR(Find("decode", "control_p50").value.median, 100, 1e-9);
}

TEST_F(SummarizeTest, EachRepetitionIsHeldAgainstTheSamplesAroundIt) {
  const StepWork work = WorkOfStep(model_, {SliceShape()}, 4);
  const double gigabytes = (work.weight_bytes + work.kv_bytes) / 1e9;
  DecodeRuns runs;
  // The machine slows down by half in the middle of the run; the model keeps
  // to 80 % of it but for the last repetition.
  runs.limits = {{40, 100, 0}, {40, 100, 0}, {20, 100, 0}, {20, 100, 0}};
  runs.tokens_per_s = {32 / gigabytes, 24 / gigabytes, 10 / gigabytes};
  runs.step_s = {gigabytes / 32};
  runs.control_s = {100e-6};
  all_.decode.push_back(runs);
  for (const char* name : {"bytes_per_s", "tokens_per_s"}) {
    EXPECT_NEAR(Find("decode", name).fraction(), 0.8, 1e-9);
    EXPECT_NEAR(Find("decode", name).ratio.min, 0.5, 1e-9);
  }
  EXPECT_NEAR(Find("decode", "bytes_per_s").limit, 30, 1e-9);
  EXPECT_THAT(report_.notes, Contains(HasSubstr("differ by more than 15 %")));

  const double gflop = PrefillFlops(model_, 512) / 512 / 1e9;
  all_.prefill.push_back({512, {60 / gflop}, {{30, 70, 100}, {30, 80, 140}}});
  EXPECT_NEAR(Find("prefill 512", "arithmetic").fraction(), 0.8, 1e-9);
  EXPECT_NEAR(Find("prefill 512", "arithmetic", /*bf16_dot=*/true).fraction(),
              0.5, 1e-9);
}

TEST_F(SummarizeTest, PrefillIsHeldAgainstThePeakOfItsInstruction) {
  const double gflop = PrefillFlops(model_, 512) / 512 / 1e9;
  all_.prefill.push_back({512, {100 / gflop}, {}});
  EXPECT_NEAR(Find("prefill 512", "arithmetic").fraction(), 0.5, 1e-9);
  EXPECT_NEAR(Find("prefill 512", "arithmetic", /*bf16_dot=*/true).fraction(),
              0.25, 1e-9);
}

TEST_F(SummarizeTest, WorkersAreComparedPairByPair) {
  WorkerComparison comparison;
  comparison.workers = 2;
  comparison.one_decode.tokens_per_s = {10, 20, 30};
  comparison.many_decode.tokens_per_s = {9, 16, 30};
  comparison.many_decode.step_s = {0.1};
  comparison.many_decode.control_s = {0.001};
  comparison.one_prefill.tokens_per_s = {100};
  comparison.many_prefill.tokens_per_s = {95};
  all_.comparison = comparison;
  EXPECT_NEAR(Find("workers", "decode_ratio").value.median, 0.9, 1e-9);
  EXPECT_NEAR(Find("workers", "prefill_ratio").value.median, 0.95, 1e-9);
}

TEST_F(SummarizeTest, ALoadFromDiskIsHeldAgainstReadingTheFiles) {
  LoadRuns load;
  load.cache.bytes = 2'000'000'000;
  load.ready_s = {1.0};
  load.first_token_s = {1.1};
  all_.load = load;
  EXPECT_NEAR(Find("load", "ready").limit, 2.0 / 40, 1e-9);
  all_.load->disk_read_s = {0.8};
  EXPECT_NEAR(Find("load", "ready").limit, 0.8, 1e-9);
}

TEST_F(SummarizeTest, MemoryIsHeldAgainstWeightsAndPages) {
  all_.memory =
      MemoryUse{2, 2'100'000'000, 300'000'000, 1'900'000'000, 100'000'000};
  EXPECT_NEAR(Find("memory", "pss").fraction(), 1.05, 1e-9);
  EXPECT_NEAR(Find("memory", "anonymous").fraction(), 1.2, 1e-9);
}

TEST_F(SummarizeTest, WithoutLimitsThereAreFiguresAndNoFractions) {
  all_.before.reset();
  all_.after.reset();
  all_.prefill.push_back({512, {100}, {}});
  EXPECT_EQ(Find("prefill 512", "tokens_per_s").limit, 0);
  EXPECT_EQ(Find("prefill 512", "tokens_per_s").limit_name, "");
}

TEST_F(SummarizeTest, DriftingLimitsAndABusyMachineAreSaid) {
  EXPECT_THAT(Summarize(all_, {&model_, false}).notes, IsEmpty());
  all_.after = LimitsOf(20, 200);
  all_.cpu_pressure = 0.5;
  const BenchReport report = Summarize(all_, {&model_, false});
  EXPECT_THAT(report.notes, Contains(HasSubstr("differ by more than 15 %")));
  EXPECT_THAT(report.notes, Contains(HasSubstr("waited for a CPU 50 %")));
}

TEST_F(SummarizeTest, WeightsThatFitIntoCachesAreSaid) {
  all_.largest_cache_bytes = 32 << 20;
  EXPECT_THAT(Summarize(all_, {&model_, false}).notes, IsEmpty());
  all_.before->bytes = 40 << 20;
  EXPECT_THAT(Summarize(all_, {&model_, false}).notes,
              Contains(HasSubstr("nearly fit into the caches")));
}

}  // namespace
}  // namespace facet
