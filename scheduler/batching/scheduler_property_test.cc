// Random lives of a scheduler, with a FakeExecutor that checks every page.
#include <algorithm>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <vector>

#include "gtest/gtest.h"
#include "runtime/config/model_config.h"
#include "runtime/executor/fake_executor.h"
#include "runtime/plan/step_plan.h"
#include "scheduler/batching/scheduler.h"

namespace facet {
namespace {

constexpr int64_t kVocab = 97;
constexpr int64_t kMaskWords = (kVocab + 63) / 64;

// What a grammar would allow behind `tokens`: some half of the vocabulary.
std::shared_ptr<const TokenMask> MaskBehind(
    const std::vector<int32_t>& tokens) {
  auto mask = std::make_shared<TokenMask>(kMaskWords, 0);
  const uint64_t which = tokens.size() % 3 + tokens.back() % 5;
  for (int64_t id = 0; id < kVocab; ++id) {
    if ((id * (which + 3) / 7) % 2 == 0) {
      (*mask)[id / 64] |= uint64_t{1} << (id % 64);
    }
  }
  return mask;
}

// The answer when the request has the model to itself.
std::vector<int32_t> AnswerAlone(const SequenceRequest& request) {
  std::vector<int32_t> tokens = request.prompt;
  std::vector<int32_t> answer;
  while (static_cast<int64_t>(answer.size()) < request.max_tokens) {
    TokenMask mask = request.masked ? *MaskBehind(tokens)
                                    : TokenMask(kMaskWords, ~uint64_t{0});
    if (static_cast<int64_t>(answer.size()) < request.min_tokens) {
      for (const int32_t id : request.stop_ids) {
        mask[id / 64] &= ~(uint64_t{1} << (id % 64));
      }
    }
    answer.push_back(
        FakeExecutor::NextToken(tokens, kVocab, &mask, request.logit_bias));
    tokens.push_back(answer.back());
    if (std::count(request.stop_ids.begin(), request.stop_ids.end(),
                   answer.back()) > 0) {
      break;
    }
  }
  return answer;
}

// One request as its client sees it.
struct Client {
  SequenceRequest request;
  std::vector<int32_t> tokens;  // of the answer
  int64_t logits_rows = 0;
  std::vector<PromptLogprob> logprobs;
  bool mask_due = false;
  bool cancelled = false;
  bool ended = false;
  std::vector<int32_t> All() const {
    std::vector<int32_t> all = request.prompt;
    all.insert(all.end(), tokens.begin(), tokens.end());
    return all;
  }
};

// What the runs together must have met, or they prove little.
struct Met {
  int64_t preemptions = 0;
  int64_t hits = 0;
  int64_t placeholders = 0;
  int64_t dropped = 0;  // tokens drawn for sequences that had ended
  int64_t restarts = 0;
};

class Life {
 public:
  Life(int seed, Met* met) : random_(seed), met_(met) {
    SchedulerLimits limits;
    limits.pools.page_tokens = 1 + Below(8);
    limits.sliding_window = 1 + Below(24);
    limits.pools.global_pages = 1 + Below(40);
    limits.pools.sliding_pages = 1 + Below(40);
    limits.vocab_size = kVocab;
    limits.max_positions = 20 + Below(80);
    limits.max_step_tokens = 1 + Below(20);
    limits.max_sequences = 1 + Below(8);
    limits.max_logits_rows = 1 + Below(5);
    limits.micro_batches = 1 + Below(3);
    limits.max_unapplied = 1 + Below(4);
    limits.prefix_cache = Below(4) != 0;
    limits_ = limits;
    model_.vocab_size = kVocab;
    model_.sliding_window = limits.sliding_window;
    model_.max_position_embeddings = limits.max_positions;
    scheduler_ = std::make_unique<Scheduler>(limits);
    FakeExecutorOptions options;
    options.pools = limits.pools;
    options.vocab_size = kVocab;
    options.sliding_window = limits.sliding_window;
    options.max_step_tokens = limits.max_step_tokens;
    options.stages = limits.max_unapplied - 1;
    options.logits_blocks = 1 + Below(3);
    executor_ = std::make_unique<FakeExecutor>(options);
    to_add_ = 1 + Below(20);
    cancels_ = Below(3) == 0;
    restarts_ = Below(8) == 0;
  }

  void Run() {
    for (int turn = 0; to_add_ > 0 || Unended() > 0; ++turn) {
      ASSERT_LT(turn, 50000) << "starved";
      Turn();
      if (testing::Test::HasFatalFailure()) return;
      CheckMemory();
    }
    while (scheduler_->unapplied() > 0) Finish();
    if (const std::optional<StepPlan> last = scheduler_->PlanStep()) {
      ASSERT_TRUE(last->slices.empty());
      ASSERT_TRUE(executor_->Execute(*last).ok());
    }
    CheckEnd();
  }

 private:
  int Below(int bound) { return static_cast<int>(random_() % bound); }

  int64_t Unended() const {
    return std::count_if(clients_.begin(), clients_.end(), [](const auto& c) {
      return !c.second.ended && !c.second.cancelled;
    });
  }

  // A prompt that often begins like another: a shared beginning, or an earlier
  // conversation.
  std::vector<int32_t> Prompt() {
    std::vector<int32_t> prompt;
    if (!clients_.empty() && Below(3) == 0) {
      prompt = Any()->second.All();
      prompt.resize(1 + Below(static_cast<int>(prompt.size())));
    } else if (Below(2) == 0) {
      const int kind = Below(2);
      for (int i = 0; i < 25; ++i) prompt.push_back((i * (7 + kind)) % kVocab);
      prompt.resize(1 + Below(25));
    }
    const int fresh = 1 + Below(20);
    for (int i = 0; i < fresh; ++i) prompt.push_back(Below(kVocab));
    return prompt;
  }

  std::map<uint64_t, Client>::iterator Any() {
    auto one = clients_.begin();
    std::advance(one, Below(static_cast<int>(clients_.size())));
    return one;
  }

  void AddOne() {
    --to_add_;
    SequenceRequest request;
    request.prompt = Prompt();
    request.max_tokens = 1 + Below(25);
    request.prompt_logits = Below(12) == 0;
    if (Below(8) == 0) request.prompt_logprobs = Below(3);
    if (request.prompt_logprobs >= 0 && Below(2) == 0) request.max_tokens = 0;
    for (int i = Below(4); i > 0; --i) {
      request.stop_ids.push_back(Below(kVocab));
    }
    if (Below(4) == 0) {
      request.min_tokens = std::min<int64_t>(request.max_tokens, Below(8));
    }
    if (Below(4) == 0) {
      request.logit_bias = {{0, 1.5f}, {5, 1.2f}, {50, -100.0f}};
    }
    if (Below(4) == 0) request.sampling.presence_penalty = 0.5f;
    request.masked = Below(5) == 0;
    if (Below(2) == 0) request.priority = Below(5) - 2;
    if (Below(5) == 0) request.cache_salt = "other";
    if (!clients_.empty() && Below(4) == 0) {
      const auto leader = Any();
      request.prompt = leader->second.request.prompt;
      request.cache_salt = leader->second.request.cache_salt;
      request.sibling = SequenceId{leader->first};
    }
    if (!scheduler_->Check(request).ok()) {
      ASSERT_GT(static_cast<int64_t>(request.prompt.size()),
                scheduler_->MostPositions());
      return;
    }
    const SequenceId id = {++last_id_};
    scheduler_->Add(id, request);
    request.max_tokens =
        std::min<int64_t>(request.max_tokens,
                          scheduler_->MostPositions() -
                              static_cast<int64_t>(request.prompt.size()) + 1);
    if (request.prompt_logits) request.max_tokens = 0;
    Client& client = clients_[id.value];
    client.request = std::move(request);
    client.mask_due = client.request.masked;
  }

  void Turn() {
    if (to_add_ > 0 && Below(4) == 0) AddOne();
    for (auto& [id, client] : clients_) {
      if (!client.mask_due || Below(2) == 0) continue;
      client.mask_due = false;
      scheduler_->SetMask(SequenceId{id}, MaskBehind(client.All()));
    }
    if (cancels_ && !clients_.empty() && Below(30) == 0) {
      const auto one = Any();
      scheduler_->Cancel(SequenceId{one->first});
      if (!one->second.ended) one->second.cancelled = true;
    }
    if (restarts_ && Below(40) == 0) {
      scheduler_->Restart();
      executor_->Reset();
      ++met_->restarts;
    }
    const bool may_plan = scheduler_->unapplied() < limits_.max_unapplied;
    if (may_plan && (scheduler_->unapplied() == 0 || Below(3) != 0)) {
      Plan();
    } else {
      Finish();
    }
  }

  void Plan() {
    const std::optional<StepPlan> plan = scheduler_->PlanStep();
    if (plan.has_value()) {
      const absl::Status valid = ValidateStepPlan(*plan, model_, limits_.pools);
      ASSERT_TRUE(valid.ok()) << valid;
      for (const SequenceSlice& slice : plan->slices) {
        met_->placeholders += slice.tokens[0] == kSampledToken;
        ASSERT_LE(slice.start + static_cast<int64_t>(slice.tokens.size()),
                  scheduler_->MostPositions());
      }
      const absl::Status status = executor_->Start(*plan);
      ASSERT_TRUE(status.ok()) << status;
      return;
    }
    if (scheduler_->unapplied() > 0) {
      Finish();
      return;
    }
    const bool a_mask_is_due =
        std::any_of(clients_.begin(), clients_.end(), [](const auto& c) {
          return c.second.mask_due && !c.second.ended && !c.second.cancelled;
        });
    ASSERT_TRUE(Unended() == 0 || a_mask_is_due) << "idle with work left";
  }

  void Finish() {
    absl::StatusOr<StepResult> result = executor_->Finish();
    ASSERT_TRUE(result.ok()) << result.status();
    const size_t drawn = result->tokens.size();
    auto updates = scheduler_->Apply(*std::move(result));
    ASSERT_TRUE(updates.ok()) << updates.status();
    size_t told = 0;
    for (SequenceUpdate& update : *updates) {
      Client& client = clients_.at(update.sequence.value);
      ASSERT_FALSE(client.cancelled);
      ASSERT_FALSE(client.ended);
      for (const LogitsBlock& block : update.logits) {
        if (block.vocab_begin > 0) continue;
        ASSERT_EQ(block.first_position, client.logits_rows);
        client.logits_rows += block.rows;
      }
      for (PromptLogprob& logprob : update.prompt_logprobs) {
        client.logprobs.push_back(std::move(logprob));
      }
      if (update.token.has_value()) {
        ++told;
        client.tokens.push_back(update.token->token);
        client.mask_due = client.request.masked;
      }
      client.ended = update.end != SequenceEnd::kNotYet;
    }
    met_->dropped += drawn - told;
  }

  void CheckMemory() {
    const SchedulerStats stats = scheduler_->stats();
    const auto adds_up = [](const PoolUse& use, int32_t pages) {
      return use.held >= 0 && use.cached >= 0 && use.blank >= 0 &&
             use.held + use.cached + use.blank == pages;
    };
    ASSERT_TRUE(adds_up(stats.sliding, limits_.pools.sliding_pages));
    ASSERT_TRUE(adds_up(stats.global, limits_.pools.global_pages));
    ASSERT_LE(stats.running, limits_.max_sequences);
    ASSERT_EQ(stats.running + stats.waiting, Unended());
  }

  void CheckEnd() {
    const SchedulerStats stats = scheduler_->stats();
    EXPECT_EQ(stats.sliding.held, 0);
    EXPECT_EQ(stats.global.held, 0);
    EXPECT_EQ(executor_->sequences(), 0);
    EXPECT_EQ(executor_->pages_held(), 0);
    met_->preemptions += stats.preemptions;
    met_->hits += stats.prefix_hits;
    for (const auto& [id, client] : clients_) {
      if (client.cancelled) continue;
      SCOPED_TRACE(testing::Message() << "sequence " << id);
      const SequenceRequest& request = client.request;
      EXPECT_EQ(client.tokens, AnswerAlone(request));
      const auto length = static_cast<int64_t>(request.prompt.size());
      EXPECT_EQ(client.logits_rows, request.prompt_logits ? length : 0);
      ASSERT_EQ(static_cast<int64_t>(client.logprobs.size()),
                request.prompt_logprobs >= 0 ? length - 1 : 0);
      for (size_t i = 0; i < client.logprobs.size(); ++i) {
        const auto before = absl::MakeSpan(request.prompt).subspan(0, i + 1);
        ASSERT_EQ(client.logprobs[i].position, static_cast<int64_t>(i + 1));
        ASSERT_EQ(client.logprobs[i].logprob,
                  FakeExecutor::Logprob(before, request.prompt[i + 1]));
        ASSERT_EQ(static_cast<int>(client.logprobs[i].top.size()),
                  request.prompt_logprobs);
      }
    }
  }

  std::mt19937 random_;
  Met* const met_;
  SchedulerLimits limits_;
  ModelConfig model_;
  std::unique_ptr<Scheduler> scheduler_;
  std::unique_ptr<FakeExecutor> executor_;
  std::map<uint64_t, Client> clients_;
  uint64_t last_id_ = 0;
  int to_add_ = 0;
  bool cancels_ = false;
  bool restarts_ = false;
};

TEST(SchedulerPropertyTest, EveryRequestEndsOnceWithTheAnswerItHasAlone) {
  Met met;
  for (int seed = 0; seed < 3000; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Life(seed, &met).Run();
    if (HasFailure()) return;
  }
  EXPECT_GT(met.preemptions, 1000);
  EXPECT_GT(met.hits, 10000);
  EXPECT_GT(met.placeholders, 10000);
  EXPECT_GT(met.dropped, 1000);
  EXPECT_GT(met.restarts, 100);
}

}  // namespace
}  // namespace facet
