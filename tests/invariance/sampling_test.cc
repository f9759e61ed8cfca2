// Everything that shapes a draw or reports a log-probability gives one answer
// on every number of ranks, and that answer is the definition's.
#include "kernels/sampling/sampling.h"

#include <algorithm>
#include <cmath>
#include <deque>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "tests/invariance/tiny_models.h"
#include "tests/support/forward.h"

namespace facet {
namespace {

struct Setting {
  std::string name;
  ContinueOptions what;
};

// The 1,024 tokens of these models are four times what is listed before the
// whole vocabulary is weighed, so hot settings take that path.
std::deque<Setting> Settings() {
  SamplingParams hot;
  hot.temperature = 2.0f;
  hot.seed = 5;
  std::deque<Setting> settings;  // whose elements stay in place
  const auto add = [&](const std::string& name,
                       const SamplingParams& sampling) -> ContinueOptions& {
    settings.push_back({name, {}});
    ContinueOptions& what = settings.back().what;
    what.count = 8;
    what.sampling = sampling;
    what.sampling.logprob = true;
    what.sampling.top_logprobs = 3;
    return what;
  };
  add("hot", hot);
  add("hot top_p", hot).sampling.top_p = 0.98f;
  add("hot min_p", hot).sampling.min_p = 1e-3f;
  ContinueOptions& both = add("hot top_p and min_p", hot);
  both.sampling.top_p = 0.99f;
  both.sampling.min_p = 1e-4f;
  add("hot top_k of half", hot).sampling.top_k = 500;
  add("hot top_k of more than all", hot).sampling.top_k = 5000;
  ContinueOptions& warm = add("warm", hot);
  warm.sampling.temperature = 0.7f;
  warm.sampling.top_p = 0.9f;

  SamplingParams penalised;
  penalised.repetition_penalty = 1.3f;
  penalised.presence_penalty = 0.7f;
  penalised.frequency_penalty = 0.9f;
  add("greedy, penalties", penalised);
  penalised.temperature = 1.0f;
  add("penalties", penalised);
  penalised.repetition_penalty = 0.8f;  // favours what is there
  penalised.presence_penalty = -2.0f;
  add("greedy, negative penalties", penalised).sampling.temperature = 0;

  for (float temperature : {0.0f, 1.5f}) {
    SamplingParams sampling;
    sampling.temperature = temperature;
    sampling.seed = 23;
    const std::string how = temperature > 0 ? "drawn" : "greedy";
    ContinueOptions& biased = add(how + ", bias", sampling);
    for (int32_t token = 0; token < 1000; token += 2) {
      biased.start.logit_bias.push_back(
          {token, token % 3 == 0 ? -100.0f : 2.5f});
    }
    // All but the last few tokens wait; with a mask the rest is forbidden too.
    ContinueOptions& late = add(how + ", late tokens", sampling);
    for (int32_t token = 0; token < 1020; ++token) {
      late.start.late_tokens.push_back(token);
    }
    late.start.late_position = 1000;
    ContinueOptions& masked = add(how + ", mask", sampling);
    auto mask = std::make_shared<TokenMask>(16, 0);
    for (int32_t token = 5; token < 1024; token += 7) {
      (*mask)[token / 64] |= uint64_t{1} << (token % 64);
    }
    masked.mask = mask;
    ContinueOptions& all = add(how + ", everything", penalised);
    all.sampling.temperature = temperature;
    all.sampling.top_p = 0.95f;
    all.mask = mask;
    all.start = biased.start;
    all.start.late_tokens = {5, 12, 19, 26};
    all.start.late_position = 1000;
    ContinueOptions& one = add(how + ", one token left", sampling);
    auto single = std::make_shared<TokenMask>(16, 0);
    (*single)[700 / 64] |= uint64_t{1} << (700 % 64);
    one.mask = single;
  }
  return settings;
}

double LogSumExp(const float* logits, int64_t count) {
  const double max = *std::max_element(logits, logits + count);
  double sum = 0;
  for (int64_t i = 0; i < count; ++i) sum += std::exp(logits[i] - max);
  return max + std::log(sum);
}

// What the settings make of the model's logits, written down once more.
std::vector<float> Adjusted(const float* raw, int64_t vocab,
                            const ContinueOptions& what, const TokenIds& prompt,
                            const TokenIds& answer) {
  std::vector<float> logits(raw, raw + vocab);
  for (const TokenBias& bias : what.start.logit_bias) {
    if (bias.bias > -100) logits[bias.token] += bias.bias;
  }
  const SamplingParams& sampling = what.sampling;
  for (int64_t t = 0; t < vocab; ++t) {
    const auto in_prompt = std::count(prompt.begin(), prompt.end(), t);
    const auto in_answer = std::count(answer.begin(), answer.end(), t);
    if (in_prompt + in_answer == 0) continue;
    float& logit = logits[t];
    logit = logit > 0 ? logit / sampling.repetition_penalty
                      : logit * sampling.repetition_penalty;
    logit -= sampling.frequency_penalty * static_cast<float>(in_answer);
    if (in_answer > 0) logit -= sampling.presence_penalty;
  }
  constexpr float kNever = -std::numeric_limits<float>::infinity();
  for (const TokenBias& bias : what.start.logit_bias) {
    if (bias.bias <= -100) logits[bias.token] = kNever;
  }
  for (const int32_t token : what.start.late_tokens) logits[token] = kNever;
  for (int64_t t = 0; what.mask != nullptr && t < vocab; ++t) {
    if (((*what.mask)[t / 64] >> (t % 64) & 1) == 0) logits[t] = kNever;
  }
  return logits;
}

class SamplingTest : public testing::TestWithParam<std::string> {
 protected:
  SamplingTest()
      : prompts_(TinyPrompts(GetParam())), forward_(TinyForward(GetParam())) {}

  std::vector<TokenIds> prompts_;
  ForwardOptions forward_;
};

TEST_P(SamplingTest, DrawsAreThoseOfTheDefinition) {
  const int64_t vocab = forward_.vocab_size;
  ASSERT_EQ(vocab, 1024);
  const auto one = TinyCluster(GetParam(), 1, 1);
  ASSERT_NE(one, nullptr);
  for (const Setting& setting : Settings()) {
    const auto got = Continue(*one, prompts_, setting.what, forward_);
    ASSERT_TRUE(got.ok()) << got.status() << setting.name;
    for (size_t p = 0; p < prompts_.size(); ++p) {
      TokenIds tokens = prompts_[p];
      for (const SampledToken& token : (*got)[p].tokens) {
        tokens.push_back(token.token);
      }
      const auto logits = LogitsOf(*one, {tokens}, forward_);
      ASSERT_TRUE(logits.ok()) << logits.status();
      for (size_t i = 0; i < (*got)[p].tokens.size(); ++i) {
        const SampledToken& token = (*got)[p].tokens[i];
        const size_t position = prompts_[p].size() + i;
        const float* raw = (*logits)[0].data() + (position - 1) * vocab;
        const std::vector<TokenLogit> sorted =
            TopLogits(Adjusted(raw, vocab, setting.what, prompts_[p],
                               TokenIds(tokens.begin() + prompts_[p].size(),
                                        tokens.begin() + position)),
                      0, static_cast<int>(vocab));
        const SamplingParams& sampling = setting.what.sampling;
        DrawOptions options;
        options.temperature = sampling.temperature;
        options.top_k = sampling.top_k;
        options.top_p = sampling.top_p;
        options.min_p = sampling.min_p;
        options.seed = sampling.seed;
        options.position = static_cast<int64_t>(position);
        ASSERT_EQ(token.token, Draw(sorted, options))
            << setting.name << ", prompt " << p << ", token " << i;
        const double log_sum = LogSumExp(raw, vocab);
        EXPECT_NEAR(token.logprob, raw[token.token] - log_sum, 1e-4)
            << setting.name;
        const std::vector<TokenLogit> best =
            TopLogits(absl::MakeConstSpan(raw, vocab), 0, 3);
        ASSERT_EQ(token.top.size(), 3u);
        for (int k = 0; k < 3; ++k) {
          EXPECT_EQ(token.top[k].token, best[k].token) << setting.name;
          EXPECT_NEAR(token.top[k].logprob, best[k].logit - log_sum, 1e-4);
        }
      }
    }
  }
}

TEST_P(SamplingTest, DrawsAreTheSameOnEveryNumberOfRanks) {
  const std::deque<Setting> settings = Settings();
  std::vector<std::vector<Continuation>> want;
  for (const auto& [tp, pp] : std::vector<std::pair<int, int>>{
           {1, 1}, {2, 1}, {4, 1}, {1, 2}, {2, 2}, {4, 3}}) {
    const auto cluster = TinyCluster(GetParam(), tp, pp);
    ASSERT_NE(cluster, nullptr);
    for (size_t s = 0; s < settings.size(); ++s) {
      ContinueOptions what = settings[s].what;
      // A mask is made for one token: it is known when the next is drawn.
      what.pipelined = what.mask == nullptr && tp * pp > 1;
      const auto got = Continue(*cluster, prompts_, what, forward_);
      ASSERT_TRUE(got.ok()) << got.status() << settings[s].name;
      if (want.size() <= s) want.push_back(*got);
      EXPECT_EQ(Difference(want[s], *got), "")
          << settings[s].name << " tp " << tp << " pp " << pp;
    }
  }
}

// Shared pages hide tokens from the workers' slices, not from penalties.
TEST_P(SamplingTest, PenaltiesCountTokensOnSharedPages) {
  TokenIds prompt;
  while (prompt.size() < 70) {
    prompt.insert(prompt.end(), prompts_[0].begin(), prompts_[0].end());
  }
  ContinueOptions what;
  what.count = 10;
  what.sampling.repetition_penalty = 1.5f;
  what.sampling.frequency_penalty = 1.0f;
  const auto cluster = TinyCluster(GetParam(), 2, 1);
  ASSERT_NE(cluster, nullptr);
  const auto want = Continue(*cluster, {prompt}, what, forward_);
  ASSERT_TRUE(want.ok()) << want.status();
  for (int64_t shared : {32, 64}) {
    forward_.shared = shared;
    const auto got = Continue(*cluster, {prompt}, what, forward_);
    ASSERT_TRUE(got.ok()) << got.status();
    EXPECT_EQ(Difference(*want, *got), "") << shared;
  }
}

TEST_P(SamplingTest, PromptLogprobsAreTheLogSoftmaxOfTheLogits) {
  const int64_t vocab = forward_.vocab_size;
  ContinueOptions what;
  what.prompt_logprobs = 4;
  const auto one = TinyCluster(GetParam(), 1, 1);
  ASSERT_NE(one, nullptr);
  const auto got = Continue(*one, prompts_, what, forward_);
  ASSERT_TRUE(got.ok()) << got.status();
  const auto logits = LogitsOf(*one, prompts_, forward_);
  ASSERT_TRUE(logits.ok()) << logits.status();
  for (size_t p = 0; p < prompts_.size(); ++p) {
    const std::vector<PromptLogprob>& scores = (*got)[p].prompt_logprobs;
    ASSERT_EQ(scores.size(), prompts_[p].size() - 1);
    for (size_t i = 0; i < scores.size(); ++i) {
      ASSERT_EQ(scores[i].position, static_cast<int64_t>(i) + 1);
      ASSERT_EQ(scores[i].token, prompts_[p][i + 1]);
      const float* raw = (*logits)[p].data() + i * vocab;
      const double log_sum = LogSumExp(raw, vocab);
      EXPECT_NEAR(scores[i].logprob, raw[scores[i].token] - log_sum, 1e-4);
      const std::vector<TokenLogit> best =
          TopLogits(absl::MakeConstSpan(raw, vocab), 0, 4);
      ASSERT_EQ(scores[i].top.size(), 4u);
      for (int k = 0; k < 4; ++k) {
        EXPECT_EQ(scores[i].top[k].token, best[k].token);
        EXPECT_NEAR(scores[i].top[k].logprob, best[k].logit - log_sum, 1e-4);
      }
    }
  }
}

TEST_P(SamplingTest, PromptLogprobsAreTheSameForAllRanksAndChunks) {
  // More rows than are scored at once.
  TokenIds longest;
  while (longest.size() < 150) {
    longest.insert(longest.end(), prompts_[0].begin(), prompts_[0].end());
  }
  prompts_.push_back(longest);
  ContinueOptions what;
  what.count = 3;  // the answer has none
  what.prompt_logprobs = 2;
  const auto one = TinyCluster(GetParam(), 1, 1);
  ASSERT_NE(one, nullptr);
  const auto want = Continue(*one, prompts_, what, forward_);
  ASSERT_TRUE(want.ok()) << want.status();
  for (int tp : {1, 2, 4}) {
    for (int pp : {1, 2, 3}) {
      const auto cluster = TinyCluster(GetParam(), tp, pp);
      ASSERT_NE(cluster, nullptr);
      for (int64_t chunk : {0, 1, 7, 64}) {
        if (chunk == 1 && tp * pp > 1) continue;
        forward_.chunk = chunk;
        what.pipelined = chunk == 7;
        const auto got = Continue(*cluster, prompts_, what, forward_);
        ASSERT_TRUE(got.ok()) << got.status();
        EXPECT_EQ(Difference(*want, *got), "")
            << "tp " << tp << " pp " << pp << " chunk " << chunk;
      }
    }
  }
}

TEST_P(SamplingTest, NoTopMeansTheTokenAlone) {
  ContinueOptions what;
  what.prompt_logprobs = 0;
  const auto cluster = TinyCluster(GetParam(), 2, 1);
  ASSERT_NE(cluster, nullptr);
  const auto got = Continue(*cluster, {prompts_[0]}, what, forward_);
  ASSERT_TRUE(got.ok()) << got.status();
  ASSERT_EQ((*got)[0].prompt_logprobs.size(), prompts_[0].size() - 1);
  for (const PromptLogprob& score : (*got)[0].prompt_logprobs) {
    EXPECT_TRUE(score.top.empty());
    EXPECT_LT(score.logprob, 0);
  }
}

INSTANTIATE_TEST_SUITE_P(AllSizes, SamplingTest,
                         testing::Values("dense-tiny", "moe-tiny", "e2b-tiny"),
                         [](const auto& info) { return TinyName(info.param); });

}  // namespace
}  // namespace facet
