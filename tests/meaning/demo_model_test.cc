// A trained model must make sense: the demo model's greedy answers are the
// reference's, on one worker and on four, with many requests sharing steps.
#include <cstdint>
#include <fstream>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "runtime/config/model_config.h"
#include "runtime/executor/rank_runner.h"
#include "runtime/tokenizer/tokenizer.h"
#include "scheduler/batching/scheduler.h"
#include "tests/support/thread_cluster.h"

namespace facet {
namespace {

constexpr char kModel[] = "deploy/demo-model";
constexpr KvPoolSizes kPools = {32, 2048, 2048};

struct Item {
  std::string id;
  std::vector<int32_t> prompt;
  std::vector<int32_t> answer;  // the reference's, with the token that ends it
  double smallest_margin = 0;
  bool correct = false;
};

// The items without pictures.
std::vector<Item> TextItems() {
  std::vector<Item> items;
  std::ifstream file(std::string(kModel) + "/eval.jsonl");
  std::string line;
  while (std::getline(file, line)) {
    const nlohmann::json json = nlohmann::json::parse(line);
    if (json.contains("images") && !json["images"].empty()) continue;
    Item item;
    item.id = json["id"];
    item.prompt = json["prompt_tokens"].get<std::vector<int32_t>>();
    item.answer = json["output_tokens"].get<std::vector<int32_t>>();
    item.smallest_margin = json["smallest_margin"];
    item.correct = json["correct"];
    items.push_back(std::move(item));
  }
  return items;
}

// Greedy answers to all items, by id of the item.
std::map<std::string, std::vector<int32_t>> Answers(
    const std::vector<Item>& items, int tp, int pp, int ep) {
  RankOptions options;
  options.model_directory = kModel;
  options.parallelism.tp_size = tp;
  options.parallelism.pp_size = pp;
  options.parallelism.ep_size = ep;
  options.pools = kPools;
  options.max_step_tokens = 256;
  auto cluster = MakeThreadCluster(options);
  EXPECT_TRUE(cluster.ok()) << cluster.status();
  const ModelConfig config = *ReadModelConfig(kModel);
  const std::vector<int32_t> stops([] {
    const auto ids = ReadGenerationDefaults(kModel)->eos_token_ids;
    return std::vector<int32_t>(ids.begin(), ids.end());
  }());
  SchedulerLimits limits;
  limits.pools = kPools;
  limits.vocab_size = config.vocab_size;
  limits.sliding_window = config.sliding_window;
  limits.max_positions = config.max_position_embeddings;
  limits.max_step_tokens = 256;
  limits.max_sequences = 24;
  Scheduler scheduler(limits);
  for (size_t i = 0; i < items.size(); ++i) {
    SequenceRequest request;
    request.prompt = items[i].prompt;
    request.max_tokens = static_cast<int64_t>(items[i].answer.size());
    request.stop_ids = stops;
    EXPECT_TRUE(scheduler.Check(request).ok());
    scheduler.Add({i + 1}, request);
  }
  std::map<std::string, std::vector<int32_t>> answers;
  while (auto plan = scheduler.PlanStep()) {
    auto result = (*cluster)->Execute(*plan);
    if (!result.ok()) {
      ADD_FAILURE() << result.status();
      return answers;
    }
    auto updates = scheduler.Apply(*std::move(result));
    EXPECT_TRUE(updates.ok()) << updates.status();
    for (const SequenceUpdate& update : *updates) {
      if (!update.token) continue;
      answers[items[update.sequence.value - 1].id].push_back(
          update.token->token);
    }
  }
  return answers;
}

class DemoModelTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    items_ = new std::vector<Item>(TextItems());
    one_ = new auto(Answers(*items_, 1, 1, 1));
  }
  static void TearDownTestSuite() {
    delete items_;
    delete one_;
  }
  static std::vector<Item>* items_;
  static std::map<std::string, std::vector<int32_t>>* one_;
};
std::vector<Item>* DemoModelTest::items_ = nullptr;
std::map<std::string, std::vector<int32_t>>* DemoModelTest::one_ = nullptr;

TEST_F(DemoModelTest, AnswersAreTheReferencesWhereTheMarginIsClear) {
  int clear = 0, equal = 0;
  for (const Item& item : *items_) {
    if (item.smallest_margin <= 0.02) continue;
    ++clear;
    if ((*one_)[item.id] == item.answer) {
      ++equal;
    } else {
      std::printf("differs: %s, margin %.3f\n", item.id.c_str(),
                  item.smallest_margin);
    }
  }
  EXPECT_GT(clear, 300);
  EXPECT_GE(equal, 0.99 * clear) << equal << " of " << clear;
}

TEST_F(DemoModelTest, CorrectItemsReadAsTheReferenceWroteThem) {
  const auto tokenizer = Tokenizer::Load(kModel);
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  int correct = 0, equal = 0;
  for (const Item& item : *items_) {
    if (!item.correct || item.smallest_margin <= 0.02) continue;
    ++correct;
    const auto got = (*tokenizer)->Decode((*one_)[item.id], false);
    const auto want = (*tokenizer)->Decode(item.answer, false);
    ASSERT_TRUE(got.ok() && want.ok());
    equal += *got == *want;
  }
  EXPECT_GT(correct, 250);
  EXPECT_GE(equal, 0.99 * correct);
}

TEST_F(DemoModelTest, FourWorkersGiveTheVerySameAnswers) {
  EXPECT_EQ(Answers(*items_, 2, 2, 1), *one_);
  EXPECT_EQ(Answers(*items_, 4, 1, 4), *one_);
}

}  // namespace
}  // namespace facet
