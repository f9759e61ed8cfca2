// One answer, however the model is cut: the logits are the same bits for every
// tp x pp x ep, every chunk size, prompts run alone or together, every
// instruction set, and with memory handed back behind the window.
#include <algorithm>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "kernels/base/cpu.h"
#include "runtime/config/model_config.h"
#include "runtime/executor/rank_runner.h"
#include "tests/support/forward.h"
#include "tests/support/golden_data.h"
#include "tests/support/thread_cluster.h"

namespace facet {
namespace {

using Logits = std::vector<std::vector<float>>;

std::string Directory(const std::string& name) {
  return "tests/testdata/golden/" + name;
}

std::vector<TokenIds> Prompts(const std::string& name) {
  const GoldenData golden = *GoldenData::Read(Directory(name) + "/golden");
  std::vector<TokenIds> prompts;
  for (const std::string& tag : golden.TextPrompts()) {
    prompts.push_back(golden.Ints(tag + ".input_ids"));
  }
  return prompts;
}

struct Layout {
  ParallelismOptions parallelism;
  NumericsOptions numerics;
  int page_tokens = 32;
  int64_t chunk = 0;
  bool together = false;
  bool free_behind_window = true;
  int threads = 1;
};

absl::StatusOr<Logits> LogitsWith(const std::string& name,
                                  const Layout& layout) {
  RankOptions options;
  options.model_directory = Directory(name);
  options.parallelism = layout.parallelism;
  options.numerics = layout.numerics;
  options.num_threads = layout.threads;
  options.pools = {layout.page_tokens, 64, 64};
  auto cluster = MakeThreadCluster(options);
  if (!cluster.ok()) return cluster.status();
  const ModelConfig config = *ReadModelConfig(Directory(name));
  ForwardOptions forward;
  forward.chunk = layout.chunk;
  forward.together = layout.together;
  forward.vocab_size = config.vocab_size;
  forward.sliding_window =
      layout.free_behind_window ? config.sliding_window : 0;
  return LogitsOf(**cluster, Prompts(name), forward);
}

// Bits, so that -0 differs from 0 and a NaN equals itself.
void ExpectSameBits(const absl::StatusOr<Logits>& got, const Logits& want,
                    const std::string& what) {
  ASSERT_TRUE(got.ok()) << what << ": " << got.status();
  ASSERT_EQ(got->size(), want.size());
  for (size_t p = 0; p < want.size(); ++p) {
    ASSERT_EQ((*got)[p].size(), want[p].size());
    EXPECT_EQ(0, std::memcmp((*got)[p].data(), want[p].data(),
                             want[p].size() * sizeof(float)))
        << what << ", prompt " << p;
  }
}

class InvarianceTest : public testing::TestWithParam<std::string> {
 protected:
  bool has_experts() const { return GetParam() == "moe-tiny"; }
};

TEST_P(InvarianceTest, ShardingChangesNoBit) {
  const Logits one = *LogitsWith(GetParam(), {});
  for (int tp : {1, 2, 4}) {
    for (int pp : {1, 2, 3}) {
      for (int ep : {1, 2, 4}) {
        if (ep > 1 && (!has_experts() || ep > tp)) continue;
        if (tp * pp * ep == 1) continue;
        Layout layout;
        layout.parallelism.tp_size = tp;
        layout.parallelism.pp_size = pp;
        layout.parallelism.ep_size = ep;
        layout.together = (tp + pp) % 2 == 0;
        ExpectSameBits(LogitsWith(GetParam(), layout), one,
                       absl::StrCat("tp ", tp, " pp ", pp, " ep ", ep));
      }
    }
  }
}

TEST_P(InvarianceTest, ChunksPagesBatchesAndThreadsChangeNoBit) {
  const Logits one = *LogitsWith(GetParam(), {});
  for (int64_t chunk : {1, 7, 64, 0}) {
    for (bool together : {false, true}) {
      Layout layout;
      layout.chunk = chunk;
      layout.together = together;
      layout.threads = together ? 3 : 1;
      layout.page_tokens = together ? 64 : 32;
      layout.free_behind_window = !together;
      ExpectSameBits(
          LogitsWith(GetParam(), layout), one,
          absl::StrCat("chunk ", chunk, together ? " together" : " alone"));
    }
  }
}

TEST_P(InvarianceTest, ShardsAndChunksTogetherChangeNoBit) {
  const Logits one = *LogitsWith(GetParam(), {});
  Layout layout;
  layout.parallelism.tp_size = 2;
  layout.parallelism.pp_size = 2;
  layout.parallelism.ep_size = has_experts() ? 2 : 1;
  layout.chunk = 7;
  layout.together = true;
  ExpectSameBits(LogitsWith(GetParam(), layout), one,
                 "tp 2 pp 2 chunk 7 together");
}

TEST_P(InvarianceTest, EveryInstructionSetGivesTheReferenceKernelsBits) {
  SetActiveIsaForTest(Isa::kReference);
  const Logits reference = *LogitsWith(GetParam(), {});
  for (Isa isa : SupportedIsas()) {
    SetActiveIsaForTest(isa);
    ExpectSameBits(LogitsWith(GetParam(), {}), reference, Name(isa));
  }
  SetActiveIsaForTest(BestIsa());
}

// In the bf16 mode the promise holds too, inside one instruction set.
TEST_P(InvarianceTest, RoundedActivationsAndPagesKeepThePromise) {
  Layout rounded;
  rounded.numerics.activations = Activations::kBF16;
  rounded.numerics.kv_format = KvFormat::kBF16;
  const Logits one = *LogitsWith(GetParam(), rounded);
  rounded.parallelism.tp_size = 2;
  rounded.chunk = 7;
  ExpectSameBits(LogitsWith(GetParam(), rounded), one, "bf16 tp 2 chunk 7");
}

INSTANTIATE_TEST_SUITE_P(AllSizes, InvarianceTest,
                         testing::Values("dense-tiny", "moe-tiny", "e2b-tiny",
                                         "e4b-tiny"),
                         [](const auto& info) {
                           return info.param.substr(0, info.param.find('-'));
                         });

// Sampling is a function of seed and position: not of ranks.
TEST(SamplingInvarianceTest, DrawsDoNotDependOnRanks) {
  const std::string name = "dense-tiny";
  const ModelConfig config = *ReadModelConfig(Directory(name));
  const TokenIds prompt = Prompts(name).back();
  SamplingParams every_token;
  every_token.temperature = 1.0f;
  every_token.seed = 17;
  every_token.top_p = 0.9f;
  every_token.top_logprobs = 3;
  SamplingParams best_few = every_token;
  best_few.top_k = 20;
  best_few.min_p = 0.02f;
  for (const SamplingParams& sampling : {every_token, best_few}) {
    std::vector<SampledToken> first;
    for (int tp : {1, 2, 4}) {
      RankOptions options;
      options.model_directory = Directory(name);
      options.parallelism.tp_size = tp;
      options.parallelism.pp_size = tp == 2 ? 2 : 1;
      options.pools = {32, 64, 64};
      auto cluster = MakeThreadCluster(options);
      ASSERT_TRUE(cluster.ok()) << cluster.status();
      ForwardOptions forward;
      forward.vocab_size = config.vocab_size;
      forward.sliding_window = config.sliding_window;
      const auto tokens = Continue(**cluster, prompt, 20, sampling, forward);
      ASSERT_TRUE(tokens.ok()) << tokens.status();
      if (first.empty()) first = *tokens;
      for (size_t i = 0; i < first.size(); ++i) {
        EXPECT_EQ((*tokens)[i].token, first[i].token) << "tp " << tp;
        EXPECT_EQ((*tokens)[i].logprob, first[i].logprob) << "tp " << tp;
        ASSERT_EQ((*tokens)[i].top.size(), 3u);
      }
    }
  }
}

}  // namespace
}  // namespace facet
