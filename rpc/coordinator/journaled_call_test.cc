#include "rpc/coordinator/journaled_call.h"

#include <memory>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "rpc/convert/text_convert.h"
#include "rpc/coordinator/testing/fake_text_model.h"
#include "rpc/proto/inference.pb.h"
#include "runtime/executor/fake_executor.h"

namespace facet {
namespace {

using testing::ElementsAre;

class JournaledCallTest : public testing::Test {
 protected:
  JournaledCallTest() {
    FakeExecutorOptions fake = FakeExecutorFor(model_, 20, 80);
    executor_ = std::make_unique<FakeExecutor>(fake);
    engine_ = Engine::Create(executor_.get(), &model_.config,
                             model_.tokenizer.get(), EngineLimits());
    front_door_ = std::make_unique<FrontDoor>(engine_.get(), &model_);
    request_.prompt = {5, 6, 7};
    request_.max_tokens = 40;
  }

  // An event with tokens `ids` of answer `index`, which had `before`.
  void Tell(int index, int64_t before, const std::vector<int32_t>& ids,
            FinishReason finish = FinishReason::kNone,
            int prompt_logprobs = 0) {
    TextEvent event;
    event.index = index;
    event.text = "t";
    event.finish = finish;
    for (const int32_t id : ids) {
      event.tokens.emplace_back();
      event.tokens.back().token = id;
    }
    event.prompt_logprobs.resize(prompt_logprobs);
    v1::GenerateResponse response;
    AppendToProto(event, true, &response);
    entry_.events.push_back(
        JournalEvent(0, before, response.SerializeAsString()));
  }

  JournaledCall Read() {
    entry_.begin = JournalBegin("fake", {"ann", "key", "body"},
                                absl::FromUnixSeconds(7), {request_});
    auto call = ReadJournaled(*front_door_, entry_);
    EXPECT_TRUE(call.ok()) << call.status();
    return call.ok() ? *std::move(call) : JournaledCall();
  }

  TextModel model_ = FakeTextModel(2000);
  std::unique_ptr<FakeExecutor> executor_;
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<FrontDoor> front_door_;
  GenerateRequest request_;
  JournalEntry entry_;
};

TEST_F(JournaledCallTest, ARequestIsReadAsItWasWritten) {
  request_.sampling.temperature = 0.7f;
  request_.sampling.top_k = 3;
  request_.sampling.top_p = 0.9f;
  request_.sampling.min_p = 0.1f;
  request_.sampling.seed = 0xfedcba9876543210;
  request_.sampling.logprob = true;
  request_.sampling.top_logprobs = 2;
  request_.sampling.repetition_penalty = 1.2f;
  request_.sampling.presence_penalty = 0.3f;
  request_.sampling.frequency_penalty = -0.4f;
  request_.logit_bias = {{9, -3.5f}};
  request_.min_tokens = 4;
  request_.stop_ids = {1, 8};
  request_.stop_strings = {"stop"};
  request_.n = 2;
  request_.best_of = 3;
  request_.prompt_logprobs = 1;
  request_.may_think = true;
  request_.max_thought_tokens = 11;
  request_.priority = -5;
  request_.deadline = absl::FromUnixSeconds(4000000000);
  request_.cache_salt = "salt";
  const JournaledCall call = Read();
  EXPECT_EQ(call.key.owner, "ann");
  EXPECT_EQ(call.key.key, "key");
  EXPECT_EQ(call.key.body, "body");
  EXPECT_EQ(call.key.begun, absl::FromUnixSeconds(7));
  ASSERT_EQ(call.requests.size(), 1u);
  const GenerateRequest& read = call.requests[0];
  // What is written of it again tells of every field.
  EXPECT_EQ(JournalBegin("fake", call.key, *call.key.begun, {read}),
            entry_.begin);
  EXPECT_EQ(read.prompt, request_.prompt);
  EXPECT_EQ(read.sampling.seed, request_.sampling.seed);
  EXPECT_EQ(read.sampling.frequency_penalty, -0.4f);
  EXPECT_THAT(read.stop_ids, ElementsAre(1, 8));
  EXPECT_EQ(read.best_of, 3);
  EXPECT_TRUE(read.may_think);
  EXPECT_EQ(read.max_thought_tokens, 11);
  EXPECT_EQ(read.deadline, request_.deadline);
  EXPECT_EQ(read.cache_salt, "salt");
}

TEST_F(JournaledCallTest, TheFormOfAnAnswerIsMadeAgain) {
  request_.format.kind = OutputKind::kRegex;
  request_.format.text = "[ab]+";
  EXPECT_NE(Read().requests[0].grammar, nullptr);
  request_.format = OutputFormat();
  request_.format.kind = OutputKind::kToolCalls;
  request_.format.calls.required = true;
  request_.format.tools.emplace_back();
  request_.format.tools[0].name = "add";
  request_.format.tools[0].parameters = R"({"type": "object"})";
  const JournaledCall call = Read();
  EXPECT_NE(call.requests[0].grammar, nullptr);
  EXPECT_EQ(JournalBegin("fake", call.key, *call.key.begun, call.requests),
            entry_.begin);
}

TEST_F(JournaledCallTest, AnAnswerGoesOnBehindItsTokens) {
  Tell(0, 0, {11});
  Tell(0, 1, {12, 13});
  const JournaledCall call = Read();
  EXPECT_THAT(call.requests[0].drawn, ElementsAre(ElementsAre(11, 12, 13)));
  EXPECT_EQ(call.told.size(), 2u);
}

TEST_F(JournaledCallTest, NothingBehindAGapCounts) {
  Tell(0, 0, {11});
  Tell(0, 2, {13});
  Tell(0, 3, {14}, FinishReason::kLength);
  const JournaledCall call = Read();
  EXPECT_THAT(call.requests[0].drawn, ElementsAre(ElementsAre(11)));
  EXPECT_EQ(call.told.size(), 1u);
}

TEST_F(JournaledCallTest, AnAnswerThatHasEndedDrawsItsLastTokenBesideOthers) {
  request_.n = 3;
  Tell(0, 0, {11});
  Tell(1, 0, {21, 22}, FinishReason::kStop);
  Tell(0, 1, {12});
  const JournaledCall call = Read();
  EXPECT_THAT(call.requests[0].drawn,
              ElementsAre(ElementsAre(11, 12), ElementsAre(21), ElementsAre()));
  EXPECT_EQ(call.told.size(), 3u);
}

TEST_F(JournaledCallTest, WhatIsChosenAtTheEndIsDrawnAnew) {
  request_.n = 2;
  request_.best_of = 4;
  Tell(0, 0, {11, 12}, FinishReason::kStop);
  JournaledCall call = Read();
  EXPECT_TRUE(call.requests[0].drawn.empty());
  EXPECT_TRUE(call.told.empty());
  Tell(1, 0, {21}, FinishReason::kStop);
  call = Read();
  EXPECT_EQ(call.told.size(), 2u);
}

TEST_F(JournaledCallTest, LogprobsOfThePromptAreToldOnceAndWhole) {
  request_.prompt_logprobs = 1;
  Tell(0, 0, {}, FinishReason::kNone, 1);
  EXPECT_TRUE(Read().told.empty());
  Tell(0, 0, {11}, FinishReason::kNone, 1);
  const JournaledCall call = Read();
  EXPECT_EQ(call.told.size(), 2u);
  EXPECT_THAT(call.requests[0].drawn, ElementsAre(ElementsAre(11)));
}

TEST_F(JournaledCallTest, ARequestToAnotherModelIsRefused) {
  Read();
  model_.name = "other";
  EXPECT_EQ(ReadJournaled(*front_door_, entry_).status().code(),
            absl::StatusCode::kFailedPrecondition);
  entry_.begin = "no protobuf";
  EXPECT_EQ(ReadJournaled(*front_door_, entry_).status().code(),
            absl::StatusCode::kDataLoss);
}

}  // namespace
}  // namespace facet
