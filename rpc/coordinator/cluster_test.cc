// A cluster of real workers on a tiny checkpoint, also when one is lost. Run
// with "worker" this binary is one of them, as the facet binary is.
#include "rpc/coordinator/cluster.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "rpc/worker/worker.h"

namespace facet {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::SizeIs;

constexpr char kDense[] = "tests/testdata/golden/dense-tiny";
constexpr char kMoe[] = "tests/testdata/golden/moe-tiny";
constexpr char kE2b[] = "tests/testdata/golden/e2b-tiny";

ClusterOptions Options(const std::string& model) {
  ClusterOptions options;
  options.model_directory = model;
  options.kv_bytes_per_worker = int64_t{8} << 20;
  options.max_sequences = 4;
  options.chunk_tokens = 64;
  options.threads_per_worker = 1;
  options.join_timeout = absl::Minutes(1);
  return options;
}

// One sequence: a prompt whose logits are wanted, then greedy tokens, all
// within its first page.
struct Answer {
  std::vector<float> prompt_logits;
  std::vector<int32_t> tokens;
};

StepPlan Plan(uint64_t step, std::vector<int32_t> tokens, int64_t start) {
  StepPlan plan;
  plan.step = step;
  SequenceSlice slice;
  slice.sequence = {1};
  slice.tokens = std::move(tokens);
  slice.start = start;
  slice.sample = true;
  if (start == 0) {
    slice.begins = SequenceStart();
    slice.begins->prompt_tokens = static_cast<int64_t>(slice.tokens.size());
    slice.new_sliding_pages = {{0}};
    slice.new_global_pages = {{0}};
    slice.logits = LogitsWanted::kAll;
  }
  plan.slices.push_back(std::move(slice));
  return plan;
}

absl::StatusOr<Answer> Generate(Executor& executor) {
  Answer answer;
  std::vector<int32_t> next = {2, 10, 30, 20, 40, 50, 11, 12};
  int64_t start = 0;
  for (uint64_t step = 1; step <= 12; ++step) {
    const int64_t count = static_cast<int64_t>(next.size());
    absl::StatusOr<StepResult> result =
        executor.Execute(Plan(step, next, start));
    if (!result.ok()) return result.status();
    if (step == 1) {
      // Rows are cut by rank; a row is its runs side by side.
      for (int64_t row = 0; row < count; ++row) {
        for (const LogitsBlock& block : result->logits) {
          const int64_t width = block.vocab_end - block.vocab_begin;
          const auto first = block.values.begin() + row * width;
          answer.prompt_logits.insert(answer.prompt_logits.end(), first,
                                      first + width);
        }
      }
    }
    answer.tokens.push_back(result->tokens[0].token);
    next = {answer.tokens.back()};
    start += count;
  }
  return answer;
}

Answer AnswerOf(const ClusterOptions& options) {
  auto cluster = Cluster::Start(options);
  EXPECT_TRUE(cluster.ok()) << cluster.status();
  if (!cluster.ok()) return {};
  const absl::StatusOr<Answer> answer = Generate((*cluster)->executor());
  EXPECT_TRUE(answer.ok()) << answer.status();
  EXPECT_TRUE((*cluster)->health().ok());
  EXPECT_TRUE((*cluster)->Shutdown().ok());
  return answer.ok() ? *answer : Answer();
}

void ExpectSameAnswer(const ClusterOptions& options, const Answer& expected) {
  const Answer answer = AnswerOf(options);
  EXPECT_EQ(answer.tokens, expected.tokens);
  ASSERT_EQ(answer.prompt_logits.size(), expected.prompt_logits.size());
  EXPECT_EQ(answer.prompt_logits, expected.prompt_logits);
}

TEST(ClusterTest, WorkerProcessesGiveTheBitsOfOneProcess) {
  for (const char* model : {kDense, kMoe, kE2b}) {
    SCOPED_TRACE(model);
    ClusterOptions options = Options(model);
    const Answer expected = AnswerOf(options);
    EXPECT_THAT(expected.tokens, SizeIs(12));
    options.parallelism.tp_size = 2;
    ExpectSameAnswer(options, expected);
    options.parallelism.tp_size = 1;
    options.parallelism.pp_size = 2;
    ExpectSameAnswer(options, expected);
  }
}

// The steps of Generate(), each handed over as soon as the executor takes it:
// what it needs of the token before, it takes from the worker that drew it.
absl::StatusOr<std::vector<int32_t>> GenerateAhead(Executor& executor) {
  const std::vector<int32_t> prompt = {2, 10, 30, 20, 40, 50, 11, 12};
  std::vector<int32_t> tokens;
  uint64_t started = 0;
  for (uint64_t step = 1; step <= 12; ++step) {
    const uint64_t last = step + static_cast<uint64_t>(executor.stages());
    while (started < std::min<uint64_t>(12, last)) {
      ++started;
      StepPlan plan =
          started == 1
              ? Plan(1, prompt, 0)
              : Plan(started, {kSampledToken},
                     static_cast<int64_t>(prompt.size() + started) - 2);
      plan.completed = step - 1;
      const absl::Status status = executor.Start(plan);
      if (!status.ok()) return status;
    }
    const absl::StatusOr<StepResult> result = executor.Finish();
    if (!result.ok()) return result.status();
    EXPECT_EQ(result->step, step);
    tokens.push_back(result->tokens[0].token);
  }
  return tokens;
}

TEST(ClusterTest, StepsAheadOfTheirTokensDrawTheSameOnes) {
  for (const char* model : {kDense, kE2b}) {
    SCOPED_TRACE(model);
    ClusterOptions options = Options(model);
    const Answer expected = AnswerOf(options);
    for (const auto& [pp, tp] :
         std::vector<std::pair<int, int>>{{1, 1}, {1, 2}, {2, 1}, {2, 2}}) {
      SCOPED_TRACE(testing::Message() << "pp " << pp << " tp " << tp);
      options.parallelism.pp_size = pp;
      options.parallelism.tp_size = tp;
      auto cluster = Cluster::Start(options);
      ASSERT_TRUE(cluster.ok()) << cluster.status();
      EXPECT_EQ((*cluster)->executor().stages(), pp);
      const auto tokens = GenerateAhead((*cluster)->executor());
      ASSERT_TRUE(tokens.ok()) << tokens.status();
      EXPECT_EQ(*tokens, expected.tokens);
      EXPECT_TRUE((*cluster)->Shutdown().ok());
    }
  }
}

// Four greedy steps with all that a request may ask of its sampler.
absl::StatusOr<std::vector<StepResult>> GenerateWithWishes(Executor& executor,
                                                           int64_t vocab_size) {
  std::vector<StepResult> results;
  std::vector<int32_t> next = {2, 10, 30, 20, 40, 50, 11, 12};
  int64_t start = 0;
  for (uint64_t step = 1; step <= 4; ++step) {
    StepPlan plan = Plan(step, next, start);
    SequenceSlice& slice = plan.slices[0];
    slice.logits = LogitsWanted::kNone;
    slice.sampling.logprob = true;
    slice.sampling.top_logprobs = 3;
    slice.sampling.repetition_penalty = 1.5f;
    slice.sampling.presence_penalty = 0.5f;
    slice.sampling.frequency_penalty = 0.25f;
    if (step == 1) {
      slice.prompt_logprobs = 2;
      slice.begins->logit_bias = {{7, 2.5f}, {8, -100.0f}};
      slice.begins->late_tokens = {1};
      slice.begins->late_position = 20;
    }
    TokenMask mask((vocab_size + 63) / 64, 0);
    for (int64_t id = 0; id < vocab_size; id += 3) {
      mask[id / 64] |= uint64_t{1} << (id % 64);
    }
    slice.mask = std::make_shared<TokenMask>(std::move(mask));
    start += static_cast<int64_t>(next.size());
    absl::StatusOr<StepResult> result = executor.Execute(plan);
    if (!result.ok()) return result.status();
    next = {result->tokens[0].token};
    results.push_back(*std::move(result));
  }
  return results;
}

void ExpectSameTop(const std::vector<TokenLogprob>& a,
                   const std::vector<TokenLogprob>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    EXPECT_EQ(a[i].token, b[i].token);
    EXPECT_EQ(a[i].logprob, b[i].logprob);
  }
}

TEST(ClusterTest, WhatARequestAsksOfItsSamplerReachesWorkerProcesses) {
  ClusterOptions options = Options(kDense);
  std::vector<StepResult> expected;
  for (const auto& [pp, tp] :
       std::vector<std::pair<int, int>>{{1, 1}, {1, 2}, {2, 1}}) {
    SCOPED_TRACE(testing::Message() << "pp " << pp << " tp " << tp);
    options.parallelism.pp_size = pp;
    options.parallelism.tp_size = tp;
    auto cluster = Cluster::Start(options);
    ASSERT_TRUE(cluster.ok()) << cluster.status();
    const auto results = GenerateWithWishes((*cluster)->executor(),
                                            (*cluster)->model().vocab_size);
    ASSERT_TRUE(results.ok()) << results.status();
    if (expected.empty()) expected = *results;
    for (size_t step = 0; step < expected.size(); ++step) {
      const StepResult& a = (*results)[step];
      const StepResult& b = expected[step];
      EXPECT_EQ(a.tokens[0].token, b.tokens[0].token);
      EXPECT_EQ(a.tokens[0].token % 3, 0);
      EXPECT_EQ(a.tokens[0].logprob, b.tokens[0].logprob);
      ExpectSameTop(a.tokens[0].top, b.tokens[0].top);
      ASSERT_EQ(a.prompt_logprobs.size(), step == 0 ? 7u : 0u);
      for (size_t i = 0; i < a.prompt_logprobs.size(); ++i) {
        EXPECT_EQ(a.prompt_logprobs[i].position, static_cast<int64_t>(i) + 1);
        EXPECT_EQ(a.prompt_logprobs[i].token, b.prompt_logprobs[i].token);
        EXPECT_EQ(a.prompt_logprobs[i].logprob, b.prompt_logprobs[i].logprob);
        ExpectSameTop(a.prompt_logprobs[i].top, b.prompt_logprobs[i].top);
      }
    }
    EXPECT_TRUE((*cluster)->Shutdown().ok());
  }
}

TEST(ClusterTest, OneWorkerIsInThisProcess) {
  auto cluster = Cluster::Start(Options(kDense));
  ASSERT_TRUE(cluster.ok()) << cluster.status();
  EXPECT_EQ((*cluster)->control_address(), "");
  EXPECT_EQ((*cluster)->plan().world_size(), 1);
  EXPECT_GT((*cluster)->executor().pools().global_pages, 0);
}

TEST(ClusterTest, LoadingReachesAllItsBytes) {
  for (int tp : {1, 2}) {
    ClusterOptions options = Options(kDense);
    options.parallelism.tp_size = tp;
    std::atomic<int64_t> left = -1;
    options.load_progress = [&](int64_t done, int64_t total) {
      left = total - done;
    };
    auto cluster = Cluster::Start(options);
    ASSERT_TRUE(cluster.ok()) << cluster.status();
    EXPECT_EQ(left, 0) << tp;
  }
}

TEST(ClusterTest, WhatCannotBeIsRefusedBeforeAnyWorkerStarts) {
  ClusterOptions options = Options("tests/testdata/golden/no-such-model");
  options.parallelism.tp_size = 2;
  EXPECT_FALSE(Cluster::Start(options).ok());

  options = Options(kDense);
  options.parallelism.tp_size = 3;
  EXPECT_EQ(Cluster::Start(options).status().code(),
            absl::StatusCode::kInvalidArgument);

  options = Options(kDense);
  options.kv_bytes_per_worker = 1000;
  const absl::Status status = Cluster::Start(options).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("--kv-memory"), HasSubstr("at least")));
}

TEST(ClusterTest, APlanThatCannotRunIsRefusedAndHarmsNothing) {
  ClusterOptions options = Options(kDense);
  options.parallelism.tp_size = 2;
  auto cluster = Cluster::Start(options);
  ASSERT_TRUE(cluster.ok()) << cluster.status();
  StepPlan plan = Plan(1, {2}, 0);
  plan.slices[0].tokens = {1 << 30};
  EXPECT_EQ((*cluster)->executor().Execute(plan).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(Generate((*cluster)->executor()).ok());
}

std::vector<pid_t> Children() {
  std::vector<pid_t> children;
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    const pid_t pid = std::atoi(entry.path().filename().c_str());
    std::ifstream file(entry.path() / "stat");
    std::string number, name, state;
    pid_t parent = 0;
    if (pid > 0 && file >> number >> name >> state >> parent &&
        parent == getpid()) {
      children.push_back(pid);
    }
  }
  return children;
}

// One rank waits for the other in the middle of a layer when that one dies.
// Both have places in the next world, and the weights of the one that lives
// serve there.
TEST(ClusterTest, ADeadRankFreesTheOneThatWaitsForItAndIsReplaced) {
  ClusterOptions options = Options(kDense);
  options.parallelism.tp_size = 2;
  auto cluster = Cluster::Start(options);
  ASSERT_TRUE(cluster.ok()) << cluster.status();
  const auto expected = Generate((*cluster)->executor());
  ASSERT_TRUE(expected.ok());
  const std::vector<pid_t> children = Children();
  ASSERT_THAT(children, SizeIs(2));
  kill(children[1], SIGSTOP);
  std::thread killer([&] {
    absl::SleepFor(absl::Milliseconds(300));
    kill(children[1], SIGKILL);
  });
  const absl::Status status =
      (*cluster)->executor().Execute(Plan(13, {5}, 19)).status();
  killer.join();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), HasSubstr("killed by signal 9"));
  Executor& executor = (*cluster)->executor();
  EXPECT_EQ(executor.Execute(Plan(14, {5}, 19)).status(), status);
  while (!executor.Resume().ok()) absl::SleepFor(absl::Milliseconds(5));
  EXPECT_TRUE((*cluster)->health().ok());
  const auto again = Generate(executor);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->tokens, expected->tokens);
  EXPECT_EQ(again->prompt_logits, expected->prompt_logits);
  EXPECT_TRUE((*cluster)->Shutdown().ok());
  EXPECT_THAT(Children(), SizeIs(0));
}

}  // namespace
}  // namespace facet

int main(int argc, char** argv) {
  const std::string flag = "--coordinator=";
  if (argc == 3 && std::string(argv[1]) == "worker") {
    facet::WorkerOptions options;
    options.coordinator = std::string(argv[2]).substr(flag.size());
    const absl::Status status = facet::RunWorker(options);
    if (!status.ok()) std::fprintf(stderr, "%s\n", status.ToString().c_str());
    return status.ok() ? 0 : 1;
  }
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
