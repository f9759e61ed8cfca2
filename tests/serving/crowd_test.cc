// An answer is the same bits alone, among many others, after it was put back
// for want of memory, and on pages that another request filled.
#include <bit>
#include <cstdint>
#include <future>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "rpc/coordinator/engine.h"
#include "rpc/metrics/serving_metrics.h"
#include "tests/invariance/tiny_models.h"
#include "tests/support/thread_cluster.h"

namespace facet {
namespace {

struct Answer {
  std::vector<SampledToken> tokens;
  int64_t cached_tokens = 0;
  FinishReason finish = FinishReason::kNone;
  absl::Status status;
};

// One server: a cluster of threads, an engine and its metrics.
class Server {
 public:
  Server(const std::string& name, int tp, int pp, const KvPoolSizes& pools,
         const EngineLimits& limits)
      : config_(TinyConfig(name)), metrics_(MetricsOptions()) {
    RankOptions options;
    options.model_directory = TinyDirectory(name);
    options.parallelism.tp_size = tp;
    options.parallelism.pp_size = pp;
    options.pools = pools;
    auto cluster = MakeThreadCluster(options);
    EXPECT_TRUE(cluster.ok()) << cluster.status();
    executor_ = *std::move(cluster);
    engine_ =
        Engine::Create(executor_.get(), &config_, nullptr, limits, &metrics_);
  }

  std::vector<Answer> Run(const std::vector<GenerateRequest>& requests) {
    std::vector<Answer> answers(requests.size());
    std::vector<std::promise<void>> ends(requests.size());
    for (size_t i = 0; i < requests.size(); ++i) {
      const auto id = engine_->Submit(
          requests[i], [&answers, &ends, i](GenerateEvent event) {
            Answer& answer = answers[i];
            answer.tokens.insert(answer.tokens.end(), event.tokens.begin(),
                                 event.tokens.end());
            if (!event.done) return;
            answer.finish = event.finish;
            answer.status = event.status;
            answer.cached_tokens = event.usage.cached_tokens;
            ends[i].set_value();
          });
      EXPECT_TRUE(id.ok()) << id.status();
      if (!id.ok()) ends[i].set_value();
    }
    for (std::promise<void>& end : ends) end.get_future().wait();
    return answers;
  }

  // The value of a counter without further labels than the model's.
  double Metric(const std::string& name) const {
    const std::string text = metrics_.Text();
    const size_t at = text.find(absl::StrCat("\nfacet:", name, "{"));
    if (at == std::string::npos) return -1;
    const size_t space = text.find(' ', at);
    double value = -1;
    EXPECT_TRUE(absl::SimpleAtod(
        text.substr(space + 1, text.find('\n', space) - space - 1), &value));
    return value;
  }

 private:
  static ServingMetricsOptions MetricsOptions() {
    ServingMetricsOptions options;
    options.model_name = "tiny";
    return options;
  }

  const ModelConfig config_;
  ServingMetrics metrics_;
  std::unique_ptr<Executor> executor_;
  std::unique_ptr<Engine> engine_;
};

std::vector<GenerateRequest> RandomRequests(const std::string& name, int count,
                                            int seed) {
  std::mt19937 random(seed);
  const std::vector<TokenIds> prompts = TinyPrompts(name);
  const int64_t vocab = TinyConfig(name).vocab_size;
  std::vector<GenerateRequest> requests(count);
  for (GenerateRequest& request : requests) {
    // Beginnings in common, so that prefixes are shared; ends of their own.
    TokenIds prompt;
    while (prompt.size() < 80) {
      const TokenIds& more = prompts[random() % 2];
      prompt.insert(prompt.end(), more.begin(), more.end());
    }
    prompt.resize(1 + random() % 40);
    for (int i = 0; i < 3; ++i) {
      prompt.push_back(static_cast<int32_t>(random() % vocab));
    }
    request.prompt = prompt;
    request.max_tokens = 8 + random() % 110;
    SamplingParams& sampling = request.sampling;
    sampling.logprob = true;
    sampling.top_logprobs = static_cast<int>(random() % 3);
    if (random() % 4 != 0) {
      sampling.temperature = 0.5f + 0.1f * static_cast<float>(random() % 10);
      sampling.seed = random();
      sampling.top_k = random() % 2 == 0 ? 0 : 30;
      sampling.top_p = random() % 2 == 0 ? 1.0f : 0.9f;
    }
    if (random() % 3 == 0) {
      sampling.repetition_penalty = 1.2f;
      sampling.frequency_penalty = 0.3f;
      request.logit_bias = {{static_cast<int32_t>(random() % vocab), 2.5f}};
    }
    request.priority = static_cast<int>(random() % 3) - 1;
  }
  return requests;
}

// "" where both are the same to the last bit.
std::string Difference(const Answer& a, const Answer& b) {
  if (a.finish != b.finish)
    return absl::StrCat("ends otherwise: ", Name(b.finish));
  if (a.tokens.size() != b.tokens.size()) return "another length";
  for (size_t i = 0; i < a.tokens.size(); ++i) {
    const SampledToken& x = a.tokens[i];
    const SampledToken& y = b.tokens[i];
    bool same = x.token == y.token && x.top.size() == y.top.size() &&
                std::bit_cast<uint32_t>(x.logprob) ==
                    std::bit_cast<uint32_t>(y.logprob);
    for (size_t t = 0; same && t < x.top.size(); ++t) {
      same = x.top[t].token == y.top[t].token &&
             std::bit_cast<uint32_t>(x.top[t].logprob) ==
                 std::bit_cast<uint32_t>(y.top[t].logprob);
    }
    if (!same) return absl::StrCat("token ", i);
  }
  return "";
}

class CrowdTest : public testing::TestWithParam<std::string> {};

TEST_P(CrowdTest, CompanyMemoryAndCacheChangeNoBit) {
  const std::string name = GetParam();
  const std::vector<GenerateRequest> requests = RandomRequests(name, 33, 5);

  EngineLimits alone_limits;
  alone_limits.prefix_cache = false;
  Server alone(name, 1, 1, {32, 64, 64}, alone_limits);
  std::vector<Answer> expected;
  for (const GenerateRequest& request : requests) {
    expected.push_back(alone.Run({request})[0]);
    ASSERT_EQ(expected.back().finish, FinishReason::kLength)
        << expected.back().status;
    ASSERT_EQ(expected.back().cached_tokens, 0);
  }

  const struct {
    int tp, pp;
    KvPoolSizes pools;
  } servers[] = {
      {1, 1, {32, 256, 256}}, {1, 1, {32, 20, 14}},   {2, 1, {32, 20, 14}},
      {1, 2, {32, 20, 16}},   {2, 2, {32, 256, 256}},
  };
  double preemptions = 0;
  double hits = 0;
  for (const auto& server : servers) {
    SCOPED_TRACE(absl::StrCat("tp ", server.tp, " pp ", server.pp, ", ",
                              server.pools.global_pages, " pages"));
    EngineLimits limits;
    limits.max_step_tokens = 64;
    limits.max_sequences = 32;
    Server crowd(name, server.tp, server.pp, server.pools, limits);
    for (int round = 0; round < 2; ++round) {
      const std::vector<Answer> answers = crowd.Run(requests);
      for (size_t i = 0; i < answers.size(); ++i) {
        EXPECT_EQ(Difference(expected[i], answers[i]), "")
            << "request " << i << " round " << round << " cached "
            << answers[i].cached_tokens;
      }
    }
    preemptions += crowd.Metric("num_preemptions_total");
    hits += crowd.Metric("prefix_cache_hits_total");
  }
  // What is claimed has happened.
  EXPECT_GT(preemptions, 0);
  EXPECT_GT(hits, 0);
}

INSTANTIATE_TEST_SUITE_P(AllSizes, CrowdTest,
                         testing::Values("dense-tiny", "moe-tiny", "e2b-tiny",
                                         "e4b-tiny"),
                         [](const auto& info) { return TinyName(info.param); });

}  // namespace
}  // namespace facet
