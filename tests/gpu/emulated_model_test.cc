// The whole model on a device, every kernel and every copy of it, against the
// processors: the same bits for every chunk, batch and number of ranks. The
// device is the emulation of one.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/emulated_stream.h"
#include "runtime/checkpoint/synthetic.h"
#include "tests/gpu/emulated_nccl.h"
#include "tests/invariance/tiny_models.h"
#include "tests/support/forward.h"
#include "tests/support/thread_cluster.h"

namespace facet {
namespace {

absl::StatusOr<std::unique_ptr<Device>> Open() {
  return emulated::OpenDevice(0);
}

class DeviceModelTest : public testing::TestWithParam<std::string> {
 protected:
  std::unique_ptr<Executor> Start(int tp_size, int pp_size, bool on_device,
                                  KvFormat kv_format = KvFormat::kF32,
                                  Activations activations = Activations::kF32,
                                  bool fast = false) {
    RankOptions options;
    options.model_directory = TinyDirectory(GetParam());
    options.parallelism.tp_size = tp_size;
    options.parallelism.pp_size = pp_size;
    if (config_.num_experts > 0) options.parallelism.ep_size = tp_size;
    options.numerics.kv_format = kv_format;
    options.numerics.activations = activations;
    options.numerics.fast = fast;
    options.pools = {32, 128, 128};
    if (on_device) options.open_device = Open;
    auto cluster = MakeThreadCluster(options);
    EXPECT_TRUE(cluster.ok()) << cluster.status();
    return cluster.ok() ? *std::move(cluster) : nullptr;
  }

  // Prompts cut short, for an emulated thread takes its time.
  std::vector<TokenIds> Prompts(size_t longest) {
    std::vector<TokenIds> prompts = TinyPrompts(GetParam());
    for (TokenIds& prompt : prompts) {
      if (prompt.size() > longest) prompt.resize(longest);
    }
    if (prompts.size() > 2) prompts.resize(2);
    return prompts;
  }

  void ExpectSame(Executor* cpu, Executor* device,
                  const ForwardOptions& options, size_t longest) {
    ASSERT_TRUE(cpu != nullptr && device != nullptr);
    const auto prompts = Prompts(longest);
    const auto expected = LogitsOf(*cpu, prompts, options);
    const auto found = LogitsOf(*device, prompts, options);
    ASSERT_TRUE(expected.ok()) << expected.status();
    ASSERT_TRUE(found.ok()) << found.status();
    for (size_t p = 0; p < prompts.size(); ++p) {
      ASSERT_EQ((*found)[p].size(), (*expected)[p].size());
      EXPECT_EQ(std::memcmp((*found)[p].data(), (*expected)[p].data(),
                            (*found)[p].size() * sizeof(float)),
                0)
          << "prompt " << p;
    }
  }

  const ModelConfig config_ = TinyConfig(GetParam());
};

TEST_P(DeviceModelTest, LogitsAreTheProcessors) {
  const auto cpu = Start(1, 1, false);
  const auto device = Start(1, 1, true);
  ForwardOptions options = TinyForward(GetParam());
  options.chunk = 13;
  options.together = true;
  ExpectSame(cpu.get(), device.get(), options, 40);
}

TEST_P(DeviceModelTest, LogitsAreTheProcessorsWithPagesOfBf16) {
  const auto cpu = Start(1, 1, false, KvFormat::kBF16);
  const auto device = Start(1, 1, true, KvFormat::kBF16);
  ExpectSame(cpu.get(), device.get(), TinyForward(GetParam()), 17);
}

TEST_P(DeviceModelTest, RanksOnDevicesOfTheirOwnAgree) {
  const auto cpu = Start(1, 1, false);
  const auto device = Start(2, 2, true);
  ExpectSame(cpu.get(), device.get(), TinyForward(GetParam()), 9);
}

TEST_P(DeviceModelTest, DecodedTokensAreTheProcessors) {
  const auto cpu = Start(1, 1, false);
  const auto device = Start(1, 1, true);
  ContinueOptions what;
  what.count = 4;
  what.sampling.logprob = true;
  const auto prompts = Prompts(12);
  const auto a = Continue(*cpu, prompts, what, TinyForward(GetParam()));
  const auto b = Continue(*device, prompts, what, TinyForward(GetParam()));
  ASSERT_TRUE(a.ok()) << a.status();
  ASSERT_TRUE(b.ok()) << b.status();
  EXPECT_EQ(Difference(*a, *b), "");
}

// Tensor cores add in an order of their own, but always in the same.
TEST_P(DeviceModelTest, LogitsOfRoundedInputsDependOnNoChunkAndNoRank) {
  const auto one = Start(1, 1, true, KvFormat::kF32, Activations::kBF16);
  const auto two = Start(2, 1, true, KvFormat::kF32, Activations::kBF16);
  ASSERT_TRUE(one != nullptr && two != nullptr);
  const auto prompts = Prompts(19);
  ForwardOptions whole = TinyForward(GetParam());
  ForwardOptions chunks = whole;
  chunks.chunk = 5;
  const auto a = LogitsOf(*one, prompts, whole);
  const auto b = LogitsOf(*two, prompts, chunks);
  ASSERT_TRUE(a.ok()) << a.status();
  ASSERT_TRUE(b.ok()) << b.status();
  for (size_t p = 0; p < prompts.size(); ++p) {
    ASSERT_EQ((*a)[p].size(), (*b)[p].size());
    EXPECT_EQ(std::memcmp((*a)[p].data(), (*b)[p].data(),
                          (*a)[p].size() * sizeof(float)),
              0)
        << "prompt " << p;
  }
}

// A prompt of enough rows for the vendor's library; what comes out is near what
// exact sums of exact inputs give.
TEST_P(DeviceModelTest, FastLogitsAreNearExactOnes) {
  const auto exact = Start(1, 1, false);
  const auto fast = Start(1, 1, true, KvFormat::kF32, Activations::kBF16,
                          /*fast=*/true);
  ASSERT_TRUE(exact != nullptr && fast != nullptr);
  std::vector<TokenIds> prompts(1);
  for (int i = 0; i < 136; ++i) prompts[0].push_back(2 + i * 7 % 250);
  const auto a = LogitsOf(*exact, prompts, TinyForward(GetParam()));
  const auto b = LogitsOf(*fast, prompts, TinyForward(GetParam()));
  ASSERT_TRUE(a.ok()) << a.status();
  ASSERT_TRUE(b.ok()) << b.status();
  double difference = 0, size = 0;
  for (size_t i = 0; i < (*a)[0].size(); ++i) {
    difference += std::fabs((*a)[0][i] - (*b)[0][i]);
    size += std::fabs((*a)[0][i]);
  }
  // Inputs lose up to 2^-8 of themselves at every product of a few layers, and an
  // expert may be another one.
  EXPECT_LT(difference, 0.05 * size);
}

// Chosen among the best ones that the device lists; rows stay there.
TEST_P(DeviceModelTest, TokensDrawnFromTheBestAreTheProcessors) {
  const auto cpu = Start(1, 1, false);
  const auto device = Start(2, 1, true);
  for (const bool greedy : {true, false}) {
    ContinueOptions what;
    what.count = 4;
    if (!greedy) {
      what.sampling.temperature = 1.5f;
      what.sampling.top_k = 40;
      what.sampling.top_p = 0.9f;
      what.sampling.seed = 5;
    }
    const auto prompts = Prompts(7);
    const auto a = Continue(*cpu, prompts, what, TinyForward(GetParam()));
    const auto b = Continue(*device, prompts, what, TinyForward(GetParam()));
    ASSERT_TRUE(a.ok()) << a.status();
    ASSERT_TRUE(b.ok()) << b.status();
    EXPECT_EQ(Difference(*a, *b), "");
  }
}

// Sums of ranks that NCCL carries, most of them from inside a graph.
class NcclModelTest : public DeviceModelTest {
 protected:
  NcclModelTest() : nccl_(StartEmulatedNccl()) {
    emulated::Abilities().nccl = true;
    ReplaceNccl(&EmulatedNcclApi());
  }
  ~NcclModelTest() override {
    ReplaceNccl(nullptr);
    emulated::Abilities().nccl = false;
    EXPECT_EQ(nccl_.broken_rule, "");
    EXPECT_EQ(nccl_.aborts_ended, nccl_.communicators);
  }

  EmulatedNccl& nccl_;
};

TEST_P(NcclModelTest, TokensOfStepsInGraphsAreTheProcessors) {
  const auto cpu = Start(1, 1, false);
  auto devices = Start(2, 1, true);
  ContinueOptions what;
  what.count = 6;
  what.sampling.logprob = true;
  const auto prompts = Prompts(7);
  const auto a = Continue(*cpu, prompts, what, TinyForward(GetParam()));
  const auto b = Continue(*devices, prompts, what, TinyForward(GetParam()));
  ASSERT_TRUE(a.ok()) << a.status();
  ASSERT_TRUE(b.ok()) << b.status();
  EXPECT_EQ(Difference(*a, *b), "");
  devices = nullptr;
  EXPECT_EQ(nccl_.communicators, 2);
  EXPECT_GT(nccl_.recorded.size(), 1u) << "the trial's, and those of steps";
  for (const auto& [call, times] : nccl_.recorded) {
    EXPECT_GT(nccl_.replayed[call], nccl_.called[call]) << call;
  }
}

// NCCL's sums go by the ranks; that they are sums is all there is to say.
TEST_P(NcclModelTest, FastNumericsAreNearThoseOfOneRank) {
  const auto one = Start(1, 1, true, KvFormat::kF32, Activations::kBF16, true);
  auto two = Start(2, 1, true, KvFormat::kF32, Activations::kBF16, true);
  ASSERT_TRUE(one != nullptr && two != nullptr);
  const auto prompts = Prompts(9);
  const auto a = LogitsOf(*one, prompts, TinyForward(GetParam()));
  const auto b = LogitsOf(*two, prompts, TinyForward(GetParam()));
  ASSERT_TRUE(a.ok()) << a.status();
  ASSERT_TRUE(b.ok()) << b.status();
  for (size_t p = 0; p < prompts.size(); ++p) {
    ASSERT_EQ((*a)[p].size(), (*b)[p].size());
    float most = 0, apart = 0;
    for (size_t i = 0; i < (*a)[p].size(); ++i) {
      most = std::max(most, std::abs((*a)[p][i]));
      apart = std::max(apart, std::abs((*a)[p][i] - (*b)[p][i]));
    }
    // A rounding of inputs that falls the other way moves a logit by its share
    // of 2^-8.
    EXPECT_LE(apart, most / 64) << "prompt " << p;
  }
  two = nullptr;
  for (const auto& [call, times] : nccl_.called) {
    EXPECT_EQ(call.rfind("all-reduce", 0), 0u) << call;
  }
}

// Every rank draws its slices; together they are the model that one processor
// draws.
TEST(DrawnModelTest, WeightsDrawnByTwoDevicesAreTheProcessors) {
  for (const char* preset : {"tiny", "tiny-moe"}) {
    const std::string directory =
        testing::TempDir() + "/drawn-" + std::string(preset);
    const absl::Status written =
        WriteSynthetic(preset, directory, SyntheticWeights::kDrawn, nullptr);
    ASSERT_TRUE(written.ok()) << written;
    RankOptions options;
    options.model_directory = directory;
    options.pools = {32, 32, 32};
    auto cpu = MakeThreadCluster(options);
    ASSERT_TRUE(cpu.ok()) << cpu.status();
    options.parallelism.tp_size = 2;
    options.open_device = Open;
    auto devices = MakeThreadCluster(options);
    ASSERT_TRUE(devices.ok()) << devices.status();
    ForwardOptions forward;
    forward.vocab_size = 1024;
    forward.sliding_window = 32;
    const std::vector<TokenIds> prompts = {{2, 900, 31, 5, 77}};
    const auto expected = LogitsOf(**cpu, prompts, forward);
    const auto found = LogitsOf(**devices, prompts, forward);
    ASSERT_TRUE(expected.ok()) << expected.status();
    ASSERT_TRUE(found.ok()) << found.status();
    ASSERT_EQ((*found)[0].size(), (*expected)[0].size());
    EXPECT_EQ(std::memcmp((*found)[0].data(), (*expected)[0].data(),
                          (*found)[0].size() * sizeof(float)),
              0)
        << preset;
    const float first = (*found)[0][0];
    EXPECT_TRUE(std::any_of((*found)[0].begin(), (*found)[0].end(),
                            [&](float logit) { return logit != first; }));
  }
}

// Heads wide enough for tensor cores, in prompts and token by token.
TEST(DrawnModelTest, RoundedAttentionDependsOnNoChunkAndNoRank) {
  const std::string directory = testing::TempDir() + "/drawn-rounded";
  const absl::Status written =
      WriteSynthetic("tiny", directory, SyntheticWeights::kDrawn, nullptr);
  ASSERT_TRUE(written.ok()) << written;
  RankOptions options;
  options.model_directory = directory;
  options.pools = {32, 32, 32};
  options.numerics.kv_format = KvFormat::kBF16;
  options.numerics.activations = Activations::kBF16;
  options.open_device = Open;
  auto one = MakeThreadCluster(options);
  ASSERT_TRUE(one.ok()) << one.status();
  options.parallelism.tp_size = 2;
  auto two = MakeThreadCluster(options);
  ASSERT_TRUE(two.ok()) << two.status();
  ForwardOptions whole;
  whole.vocab_size = 1024;
  whole.sliding_window = 32;
  ForwardOptions chunks = whole;
  chunks.chunk = 1;
  const std::vector<TokenIds> prompts = {{2, 900, 31, 5, 77, 12, 12, 300, 4}};
  const auto a = LogitsOf(**one, prompts, whole);
  const auto b = LogitsOf(**two, prompts, chunks);
  ASSERT_TRUE(a.ok()) << a.status();
  ASSERT_TRUE(b.ok()) << b.status();
  ASSERT_EQ((*a)[0].size(), (*b)[0].size());
  EXPECT_EQ(std::memcmp((*a)[0].data(), (*b)[0].data(),
                        (*a)[0].size() * sizeof(float)),
            0);
}

// Told before a weight is drawn or read.
TEST(DrawnModelTest, AModelTooLargeSaysHowMuchIsMissingAndWhatWouldFit) {
  const std::string directory = testing::TempDir() + "/drawn-26b-a4b";
  const absl::Status written =
      WriteSynthetic("26b-a4b", directory, SyntheticWeights::kDrawn, nullptr);
  ASSERT_TRUE(written.ok()) << written;
  RankOptions options;
  options.model_directory = directory;
  options.open_device = Open;
  options.pools = {32, 8, 8};
  options.max_step_tokens = 16;
  const auto executor = MakeLocalExecutor(options, nullptr);
  ASSERT_EQ(executor.status().code(), absl::StatusCode::kResourceExhausted);
  const std::string message(executor.status().message());
  EXPECT_THAT(message, testing::HasSubstr("emulated GPU: rank 0 of 1 needs"));
  EXPECT_THAT(message, testing::HasSubstr("weights 50."));
  EXPECT_THAT(message, testing::HasSubstr("are missing"));
  EXPECT_THAT(message, testing::HasSubstr("would fit on"));
}

INSTANTIATE_TEST_SUITE_P(Models, NcclModelTest,
                         testing::Values("dense-tiny", "moe-tiny", "e2b-tiny"),
                         [](const auto& info) { return TinyName(info.param); });
INSTANTIATE_TEST_SUITE_P(Models, DeviceModelTest,
                         testing::Values("dense-tiny", "moe-tiny", "e2b-tiny"),
                         [](const auto& info) { return TinyName(info.param); });

}  // namespace
}  // namespace facet
