#include "tests/invariance/tiny_models.h"

#include <bit>
#include <utility>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "tests/support/golden_data.h"
#include "tests/support/thread_cluster.h"

namespace facet {
namespace {

bool SameBits(float a, float b) {
  return std::bit_cast<uint32_t>(a) == std::bit_cast<uint32_t>(b);
}

bool Same(int32_t token_a, float logprob_a, const std::vector<TokenLogprob>& a,
          int32_t token_b, float logprob_b,
          const std::vector<TokenLogprob>& b) {
  if (token_a != token_b || !SameBits(logprob_a, logprob_b)) return false;
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (a[i].token != b[i].token) return false;
    if (!SameBits(a[i].logprob, b[i].logprob)) return false;
  }
  return true;
}

}  // namespace

std::string TinyDirectory(const std::string& name) {
  return "tests/testdata/golden/" + name;
}

ModelConfig TinyConfig(const std::string& name) {
  return *ReadModelConfig(TinyDirectory(name));
}

std::vector<TokenIds> TinyPrompts(const std::string& name) {
  const GoldenData golden = *GoldenData::Read(TinyDirectory(name) + "/golden");
  std::vector<TokenIds> prompts;
  for (const std::string& tag : golden.TextPrompts()) {
    prompts.push_back(golden.Ints(tag + ".input_ids"));
  }
  return prompts;
}

std::unique_ptr<Executor> TinyCluster(const std::string& name, int tp_size,
                                      int pp_size) {
  RankOptions options;
  options.model_directory = TinyDirectory(name);
  options.parallelism.tp_size = tp_size;
  options.parallelism.pp_size = pp_size;
  if (TinyConfig(name).num_experts > 0) options.parallelism.ep_size = tp_size;
  options.pools = {32, 128, 128};
  auto cluster = MakeThreadCluster(options);
  EXPECT_TRUE(cluster.ok()) << cluster.status();
  return cluster.ok() ? *std::move(cluster) : nullptr;
}

ForwardOptions TinyForward(const std::string& name) {
  const ModelConfig config = TinyConfig(name);
  ForwardOptions forward;
  forward.vocab_size = config.vocab_size;
  forward.sliding_window = config.sliding_window;
  return forward;
}

std::string TinyName(const std::string& name) {
  return name.substr(0, name.find('-'));
}

std::string Difference(const std::vector<Continuation>& a,
                       const std::vector<Continuation>& b) {
  if (a.size() != b.size()) return "another number of prompts";
  for (size_t p = 0; p < a.size(); ++p) {
    if (a[p].tokens.size() != b[p].tokens.size() ||
        a[p].prompt_logprobs.size() != b[p].prompt_logprobs.size()) {
      return absl::StrCat("prompt ", p, ": another number of results");
    }
    for (size_t i = 0; i < a[p].tokens.size(); ++i) {
      const SampledToken& x = a[p].tokens[i];
      const SampledToken& y = b[p].tokens[i];
      if (Same(x.token, x.logprob, x.top, y.token, y.logprob, y.top)) continue;
      return absl::StrCat("prompt ", p, ", token ", i, ": ", x.token, " at ",
                          x.logprob, " and ", y.token, " at ", y.logprob);
    }
    for (size_t i = 0; i < a[p].prompt_logprobs.size(); ++i) {
      const PromptLogprob& x = a[p].prompt_logprobs[i];
      const PromptLogprob& y = b[p].prompt_logprobs[i];
      if (x.position == y.position &&
          Same(x.token, x.logprob, x.top, y.token, y.logprob, y.top)) {
        continue;
      }
      return absl::StrCat("prompt ", p, ", position ", x.position, ": ",
                          x.logprob, " and ", y.logprob, " at ", y.position);
    }
  }
  return "";
}

}  // namespace facet
