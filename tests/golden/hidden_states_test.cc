// Every layer's output and every expert choice against the reference's, under
// every instruction set.
#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "gtest/gtest.h"
#include "kernels/backend/cpu_backend.h"
#include "kernels/base/cpu.h"
#include "kernels/base/thread_pool.h"
#include "runtime/checkpoint/checkpoint.h"
#include "runtime/comm/communicator.h"
#include "runtime/config/model_config.h"
#include "runtime/kv_cache/kv_cache.h"
#include "runtime/model/model.h"
#include "runtime/model/weights.h"
#include "runtime/plan/shard_plan.h"
#include "tests/support/golden_data.h"

namespace facet {
namespace {

constexpr float kTolerance = 1e-3f;
// Experts are compared where the choice is clear.
constexpr float kRoutingMargin = 1e-5f;
constexpr KvPoolSizes kPools = {32, 64, 64};

float LargestDifference(absl::Span<const float> a, absl::Span<const float> b) {
  EXPECT_EQ(a.size(), b.size());
  float largest = 0;
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    largest = std::max(largest, std::fabs(a[i] - b[i]));
  }
  return largest;
}

class HiddenStatesTest
    : public testing::TestWithParam<std::tuple<std::string, Isa>> {
 protected:
  void SetUp() override {
    SetActiveIsaForTest(std::get<1>(GetParam()));
    directory_ = "tests/testdata/golden/" + std::get<0>(GetParam());
    golden_ = *GoldenData::Read(directory_ + "/golden");
    config_ = *ReadModelConfig(directory_);
  }
  void TearDown() override { SetActiveIsaForTest(BestIsa()); }

  std::string directory_;
  GoldenData golden_;
  ModelConfig config_;
};

struct Recorder : ForwardObserver {
  void OnHidden(int layer, absl::Span<const float> hidden) override {
    states[layer].assign(hidden.begin(), hidden.end());
  }
  void OnRouting(int layer, absl::Span<const float> probabilities,
                 absl::Span<const int32_t> chosen,
                 absl::Span<const float> weights) override {
    probs[layer].assign(probabilities.begin(), probabilities.end());
    experts[layer].assign(chosen.begin(), chosen.end());
    expert_weights[layer].assign(weights.begin(), weights.end());
  }
  std::map<int, std::vector<float>> states, probs, expert_weights;
  std::map<int, std::vector<int32_t>> experts;
};

TEST_P(HiddenStatesTest, LayersAndRoutingAreTheReferences) {
  const ShardPlan plan = *ShardPlan::Create(config_, {});
  const Weights weights =
      *SliceWeights(config_, plan, 0, *Checkpoint::Open(directory_));
  auto kv = *KvCache::Create(config_, plan, 0, kPools, KvFormat::kF32);
  auto world = MakeInProcessCommunicator();
  ThreadPool pool(2);
  const std::unique_ptr<Backend> backend = MakeCpuBackend(&pool);
  Recorder recorder;
  Model model(&config_, &plan, 0, {}, &weights, kv.get(), world.get(),
              world.get(), backend.get(), &recorder);
  int compared = 0;
  for (const std::string& tag : golden_.TextPrompts()) {
    const bool hidden = golden_.Has(tag + ".hidden.0");
    const bool routed = golden_.Has(tag + ".router.0.probs");
    if (!hidden && !routed) continue;
    StepPlan step;
    SequenceSlice slice;
    slice.sequence = {static_cast<uint64_t>(++compared)};
    slice.tokens = golden_.Ints(tag + ".input_ids");
    slice.begins.emplace().prompt_tokens =
        static_cast<int64_t>(slice.tokens.size());
    for (int i = 0; i < 8; ++i) {
      slice.new_sliding_pages.push_back({i});
      slice.new_global_pages.push_back({i});
    }
    step.slices.push_back(slice);
    ASSERT_TRUE(kv->Apply(step).ok());
    ASSERT_TRUE(model.Forward(step).ok());
    for (int k = 0; hidden && k <= config_.num_layers(); ++k) {
      const std::vector<float> want =
          golden_.Floats(tag + ".hidden." + std::to_string(k));
      // Relative to the state's own size, which grows with depth.
      const float scale = std::max(
          1.0f, LargestDifference(want, std::vector<float>(want.size())));
      EXPECT_LT(LargestDifference(recorder.states[k], want), kTolerance * scale)
          << tag << " layer " << k;
    }
    for (int k = 0; routed && k < config_.num_layers(); ++k) {
      const std::string at = tag + ".router." + std::to_string(k);
      const std::vector<float> probs = golden_.Floats(at + ".probs");
      EXPECT_LT(LargestDifference(recorder.probs[k], probs), kTolerance) << at;
      const std::vector<int32_t> want = golden_.Ints(at + ".topk_index");
      const std::vector<float> weight = golden_.Floats(at + ".topk_weight");
      const int top = config_.experts_per_token;
      for (size_t t = 0; t < slice.tokens.size(); ++t) {
        std::vector<float> sorted(
            probs.begin() + t * config_.num_experts,
            probs.begin() + (t + 1) * config_.num_experts);
        std::sort(sorted.rbegin(), sorted.rend());
        if (sorted[top - 1] - sorted[top] < kRoutingMargin) continue;
        std::map<int32_t, float> want_set, got_set;
        for (int j = 0; j < top; ++j) {
          want_set[want[t * top + j]] = weight[t * top + j];
          got_set[recorder.experts[k][t * top + j]] =
              recorder.expert_weights[k][t * top + j];
        }
        ASSERT_EQ(want_set.size(), got_set.size());
        for (const auto& [expert, w] : want_set) {
          ASSERT_TRUE(got_set.count(expert)) << at << " token " << t;
          EXPECT_NEAR(got_set[expert], w, kTolerance) << at << " token " << t;
        }
      }
    }
  }
  EXPECT_GT(compared, 0);
}

INSTANTIATE_TEST_SUITE_P(
    AllSizes, HiddenStatesTest,
    testing::Combine(testing::Values("dense-tiny", "moe-tiny", "e2b-tiny",
                                     "e4b-tiny"),
                     testing::ValuesIn(SupportedIsas())),
    [](const auto& info) {
      std::string name =
          std::get<0>(info.param) + "_" + Name(std::get<1>(info.param));
      std::replace(name.begin(), name.end(), '-', '_');
      return name;
    });

}  // namespace
}  // namespace facet
