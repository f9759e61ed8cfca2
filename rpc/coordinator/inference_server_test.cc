#include "rpc/coordinator/inference_server.h"

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/impl/codegen/proto_utils.h>

#include <chrono>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <regex>
#include <thread>

#include "gtest/gtest.h"
#include "rpc/client/client.h"
#include "rpc/client/local_client.h"
#include "rpc/coordinator/testing/fake_text_model.h"
#include "rpc/proto/inference.grpc.pb.h"
#include "runtime/executor/fake_executor.h"

namespace facet {
namespace {

constexpr int64_t kContext = 12000;

class InferenceServerTest : public testing::Test {
 protected:
  void Start(size_t max_unread_bytes = 1 << 20) {
    FakeExecutorOptions fake = FakeExecutorFor(model_, 200, 800);
    fake.before_step = [this](const StepPlan&) {
      std::unique_lock<std::mutex> lock(mutex_);
      steps_changed_.wait(lock, [this] { return steps_allowed_ > 0; });
      --steps_allowed_;
      ++steps_done_;
      steps_changed_.notify_all();
      return absl::OkStatus();
    };
    executor_ = std::make_unique<FakeExecutor>(fake);
    engine_ = Engine::Create(executor_.get(), &model_.config,
                             model_.tokenizer.get(), limits_);
    front_door_ = std::make_unique<FrontDoor>(engine_.get(), &model_);
    InferenceServiceOptions options;
    options.max_unread_bytes = max_unread_bytes;
    auto server =
        InferenceServer::Start("127.0.0.1:0", front_door_.get(), options);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    channel_ = grpc::CreateChannel(server_->address(),
                                   grpc::InsecureChannelCredentials());
    stub_ = v1::Inference::NewStub(channel_);
  }

  ~InferenceServerTest() override {
    AllowSteps(1 << 30);
    if (engine_ != nullptr) engine_->Drain(absl::ZeroDuration());
  }

  void AllowSteps(int steps) {
    const std::lock_guard<std::mutex> lock(mutex_);
    steps_allowed_ = steps;
    steps_changed_.notify_all();
  }

  void WaitForSteps(int steps) {
    std::unique_lock<std::mutex> lock(mutex_);
    steps_changed_.wait(lock, [&] { return steps_done_ >= steps; });
  }

  // Runs a call to its end.
  grpc::Status Call(const v1::GenerateRequest& request,
                    std::vector<v1::GenerateResponse>* responses) {
    grpc::ClientContext context;
    const auto reader = stub_->Generate(&context, request);
    v1::GenerateResponse response;
    while (reader->Read(&response)) responses->push_back(response);
    return reader->Finish();
  }

  void ExpectInvalid(const v1::GenerateRequest& request,
                     const std::string& part_of_message) {
    std::vector<v1::GenerateResponse> responses;
    const grpc::Status status = Call(request, &responses);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
    EXPECT_NE(status.error_message().find(part_of_message), std::string::npos)
        << status.error_message();
    EXPECT_TRUE(responses.empty());
  }

  std::vector<int32_t> AnswerAlone(std::vector<int32_t> tokens, int count) {
    const size_t prompt = tokens.size();
    while (tokens.size() < prompt + count) {
      tokens.push_back(
          FakeExecutor::NextToken(tokens, model_.config.vocab_size));
    }
    return {tokens.begin() + prompt, tokens.end()};
  }

  EngineLimits limits_;
  std::mutex mutex_;
  std::condition_variable steps_changed_;
  int steps_allowed_ = 1 << 30;
  int steps_done_ = 0;
  TextModel model_ = FakeTextModel(kContext);
  std::unique_ptr<FakeExecutor> executor_;
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<FrontDoor> front_door_;
  std::unique_ptr<InferenceServer> server_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::Inference::Stub> stub_;
};

TEST_F(InferenceServerTest, StreamsTokensTextAndUsage) {
  Start();
  v1::GenerateRequest request;
  for (const int32_t id : {7, 8, 9}) request.mutable_token_ids()->add_ids(id);
  request.set_max_tokens(40);
  request.mutable_sampling()->set_top_logprobs(2);
  std::vector<v1::GenerateResponse> responses;
  const grpc::Status status = Call(request, &responses);
  ASSERT_TRUE(status.ok()) << status.error_message();

  std::vector<int32_t> tokens;
  std::string text;
  for (const v1::GenerateResponse& response : responses) {
    for (const v1::Token& token : response.tokens()) {
      tokens.push_back(token.id());
      EXPECT_TRUE(token.has_logprob());
      EXPECT_EQ(token.top_size(), 2);
    }
    text += response.text();
    EXPECT_EQ(response.has_finish_reason(), &response == &responses.back());
  }
  const auto expected = AnswerAlone({7, 8, 9}, 40);
  EXPECT_EQ(tokens, expected);
  EXPECT_EQ(text, *model_.tokenizer->Decode(expected, true));
  const v1::GenerateResponse& last = responses.back();
  EXPECT_EQ(last.finish_reason(), v1::FINISH_REASON_LENGTH);
  EXPECT_EQ(last.usage().prompt_tokens(), 3);
  EXPECT_EQ(last.usage().completion_tokens(), 40);
  EXPECT_GT(last.usage().first_token_seconds(), 0);
}

TEST_F(InferenceServerTest, EveryFieldOfARequestReachesTheModel) {
  Start();
  v1::GenerateRequest request;
  for (int i = 0; i < 20; ++i) request.mutable_token_ids()->add_ids(i + 5);
  request.set_max_tokens(30);
  request.set_n(3);
  request.set_best_of(5);
  request.set_prompt_logprobs(2);
  request.set_priority(-3);
  request.set_timeout_seconds(600);
  request.set_cache_salt("mine");
  request.mutable_format()->set_regex("[a-z]{3,6}(, [a-z]{3,6}){2}");
  request.mutable_sampling()->set_presence_penalty(0.5f);
  request.mutable_sampling()->set_repetition_penalty(1.1f);
  std::vector<v1::GenerateResponse> responses;
  const grpc::Status status = Call(request, &responses);
  ASSERT_TRUE(status.ok()) << status.error_message();
  std::map<int, std::string> texts;
  std::map<int, int> ends;
  int prompt_tokens = 0;
  for (const v1::GenerateResponse& response : responses) {
    texts[response.index()] += response.text();
    ends[response.index()] += response.has_finish_reason() ? 1 : 0;
    prompt_tokens += response.prompt_tokens_size();
    for (const v1::Token& token : response.prompt_tokens()) {
      EXPECT_EQ(token.top_size(), 2);
    }
  }
  EXPECT_EQ(prompt_tokens, 19);  // the first has nothing before it
  ASSERT_EQ(texts.size(), 3u);
  for (const auto& [index, text] : texts) {
    EXPECT_EQ(ends[index], 1);
    EXPECT_TRUE(
        std::regex_match(text, std::regex("[a-z]{3,6}(, [a-z]{3,6}){2}")))
        << text;
  }
}

TEST_F(InferenceServerTest, AFullQueueSaysWhenToTryAgain) {
  limits_.max_queue = 1;
  limits_.max_sequences = 1;
  Start();
  AllowSteps(0);
  v1::GenerateRequest request;
  request.mutable_token_ids()->add_ids(7);
  std::vector<std::unique_ptr<grpc::ClientContext>> contexts;
  std::vector<std::unique_ptr<grpc::ClientReader<v1::GenerateResponse>>> calls;
  bool hinted = false;
  for (int i = 0; i < 8 && !hinted; ++i) {
    contexts.push_back(std::make_unique<grpc::ClientContext>());
    if (i < 2) {
      calls.push_back(stub_->Generate(contexts.back().get(), request));
      continue;
    }
    // Two are there at most: one runs, one waits.
    contexts.back()->set_deadline(std::chrono::system_clock::now() +
                                  std::chrono::seconds(1));
    const auto reader = stub_->Generate(contexts.back().get(), request);
    v1::GenerateResponse response;
    while (reader->Read(&response)) {
    }
    const grpc::Status status = reader->Finish();
    if (status.error_code() != grpc::StatusCode::RESOURCE_EXHAUSTED) continue;
    hinted = contexts.back()->GetServerTrailingMetadata().contains(
        "grpc-retry-pushback-ms");
  }
  EXPECT_TRUE(hinted);
  for (int i = 0; i < 2; ++i) contexts[i]->TryCancel();
  AllowSteps(1 << 30);
  for (const auto& call : calls) {
    v1::GenerateResponse response;
    while (call->Read(&response)) {
    }
    call->Finish();
  }
}

TEST_F(InferenceServerTest, LocalAndRemoteClientsGetTheSame) {
  Start();
  TextRequest request;
  request.kind = PromptKind::kText;
  request.text = "Hello world";
  request.max_tokens = 20;
  request.sampling.temperature = 0.0f;
  std::vector<TextRequest> requests(70, request);
  requests[1].kind = PromptKind::kTokens;
  requests[1].tokens = {4, 5};

  const auto run = [&](Client* client) {
    std::vector<std::vector<int32_t>> tokens(requests.size());
    std::vector<std::string> texts(requests.size());
    const absl::Status status =
        client->Generate(requests, [&](size_t index, const TextEvent& event) {
          for (const SampledToken& token : event.tokens) {
            tokens[index].push_back(token.token);
          }
          texts[index] += event.text;
          return true;
        });
    EXPECT_TRUE(status.ok()) << status;
    return std::make_pair(tokens, texts);
  };
  const auto local = run(MakeLocalClient(front_door_.get()).get());
  auto remote = ConnectToServer(server_->address(), absl::Seconds(30));
  ASSERT_TRUE(remote.ok()) << remote.status();
  EXPECT_EQ(local, run(remote->get()));
  EXPECT_EQ(local.first[1], AnswerAlone({4, 5}, 20));
  EXPECT_EQ((*remote)->Info()->name, "fake");
}

TEST_F(InferenceServerTest, ACancelledOrLateCallFreesItsPages) {
  Start();
  v1::GenerateRequest request;
  request.mutable_token_ids()->add_ids(7);
  request.set_max_tokens(kContext);
  grpc::ClientContext context;
  const auto reader = stub_->Generate(&context, request);
  v1::GenerateResponse response;
  ASSERT_TRUE(reader->Read(&response));
  context.TryCancel();
  while (reader->Read(&response)) {
  }
  EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::CANCELLED);

  AllowSteps(3);  // so the deadline passes
  grpc::ClientContext late;
  late.set_deadline(absl::ToChronoTime(absl::Now() + absl::Milliseconds(300)));
  const auto late_reader = stub_->Generate(&late, request);
  while (late_reader->Read(&response)) {
  }
  EXPECT_EQ(late_reader->Finish().error_code(),
            grpc::StatusCode::DEADLINE_EXCEEDED);
  AllowSteps(1 << 30);

  // Both would run for kContext steps; this one waits for the last step alone.
  engine_->Drain(absl::InfiniteDuration());
  EXPECT_EQ(executor_->pages_held(), 0);
}

TEST_F(InferenceServerTest, AClientThatDoesNotReadLosesItsRequest) {
  Start(/*max_unread_bytes=*/20000);
  v1::GenerateRequest request;
  request.mutable_token_ids()->add_ids(7);
  request.set_max_tokens(kContext);
  request.mutable_sampling()->set_top_logprobs(64);
  grpc::ClientContext context;
  const auto reader = stub_->Generate(&context, request);
  WaitForSteps(1);
  engine_->Drain(absl::InfiniteDuration());  // while nobody reads
  v1::GenerateResponse response;
  int64_t tokens = 0;
  while (reader->Read(&response)) tokens += response.tokens_size();
  EXPECT_LT(tokens, kContext);
  const grpc::Status status = reader->Finish();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED)
      << status.error_message();
}

TEST_F(InferenceServerTest, RefusalsNameTheField) {
  Start();
  v1::GenerateRequest request;
  ExpectInvalid(request, "prompt: missing");
  request.set_text("");
  ExpectInvalid(request, "prompt: empty");
  request.set_text("fine \xff");
  ExpectInvalid(request, "prompt: ");
  request.mutable_token_ids();
  ExpectInvalid(request, "prompt: empty");
  request.mutable_token_ids()->add_ids(-1);
  ExpectInvalid(request, "token id -1");
  request.mutable_token_ids()->set_ids(0, 1);
  request.set_max_tokens(0);
  ExpectInvalid(request, "max_tokens");
  request.set_max_tokens(1);
  request.mutable_sampling()->set_temperature(-1);
  ExpectInvalid(request, "temperature");
  request.clear_sampling();
  request.add_stop("");
  ExpectInvalid(request, "stop");
  request.set_stop(0, "\xff");
  ExpectInvalid(request, "stop: not UTF-8");
}

TEST_F(InferenceServerTest, TokenizeAndDetokenizeAreInverse) {
  Start();
  v1::TokenizeRequest request;
  v1::TokenizeResponse response;
  request.set_text("Hello <bos> world");
  grpc::ClientContext context;
  ASSERT_TRUE(stub_->Tokenize(&context, request, &response).ok());
  v1::DetokenizeRequest back;
  v1::DetokenizeResponse text;
  back.mutable_ids()->CopyFrom(response.ids());
  grpc::ClientContext context_back;
  ASSERT_TRUE(stub_->Detokenize(&context_back, back, &text).ok());
  EXPECT_EQ(text.text(), request.text());

  request.set_text("\xc3");
  grpc::ClientContext context_bad;
  EXPECT_EQ(stub_->Tokenize(&context_bad, request, &response).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
}

// A message of one field, by hand: that of grpc.health.v1.
std::string HealthOf(const std::shared_ptr<grpc::Channel>& channel,
                     const std::string& service) {
  grpc::GenericStub stub(channel);
  grpc::ClientContext context;
  grpc::CompletionQueue queue;
  std::string bytes = "\x0a";
  bytes += static_cast<char>(service.size());
  const grpc::Slice slice(bytes + service);
  const grpc::ByteBuffer request(&slice, 1);
  const auto call = stub.PrepareUnaryCall(
      &context, "/grpc.health.v1.Health/Check", request, &queue);
  call->StartCall();
  grpc::ByteBuffer response;
  grpc::Status status;
  call->Finish(&response, &status, nullptr);
  void* tag = nullptr;
  bool ok = false;
  queue.Next(&tag, &ok);
  if (!status.ok()) return status.error_message();
  std::vector<grpc::Slice> slices;
  (void)response.Dump(&slices);
  std::string result;
  for (const grpc::Slice& one : slices) {
    result.append(reinterpret_cast<const char*>(one.begin()), one.size());
  }
  return result;
}

TEST_F(InferenceServerTest, HealthFollowsSetServing) {
  Start();
  const std::string serving = "\x08\x01";
  const std::string not_serving = "\x08\x02";
  for (const std::string service : {"", "facet.v1.Inference"}) {
    EXPECT_EQ(HealthOf(channel_, service), serving);
  }
  server_->SetServing(false);
  EXPECT_EQ(HealthOf(channel_, "facet.v1.Inference"), not_serving);
}

TEST_F(InferenceServerTest, APortInUseIsRefused) {
  Start();
  const auto second =
      InferenceServer::Start(server_->address(), front_door_.get(), {});
  EXPECT_EQ(second.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_NE(second.status().message().find(server_->address()),
            absl::string_view::npos);
}

}  // namespace
}  // namespace facet
