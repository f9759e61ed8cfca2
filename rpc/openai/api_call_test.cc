#include "rpc/openai/api_call.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "rpc/coordinator/retry_after.h"
#include "rpc/openai/api_error.h"
#include "rpc/openai/server_events.h"

namespace facet {
namespace {

class KeptLog : public AccessLog {
 public:
  void Write(const AccessRecord& record) override { records.push_back(record); }
  std::vector<AccessRecord> records;
};

// A call and the server's end of it.
struct Exchange {
  explicit Exchange(std::vector<HttpHeader> headers = {})
      : queue(std::make_shared<ExchangeQueue>(1 << 20, nullptr)) {
    HttpRequest request;
    request.method = "POST";
    request.path = "/v1/completions";
    request.headers = std::move(headers);
    call = std::make_unique<ApiCall>(
        std::make_shared<HttpExchange>(request, queue), &log, &origins);
  }
  std::string Header(const char* name) {
    const ExchangeQueue::Output output = queue->Take();
    for (const HttpHeader& header : output.head->headers) {
      if (header.name == name) return header.value;
    }
    return "";
  }

  KeptLog log;
  std::vector<std::string> origins;
  std::shared_ptr<ExchangeQueue> queue;
  std::unique_ptr<ApiCall> call;
};

TEST(ApiCallTest, TheClientsIdComesBackAndIsLogged) {
  Exchange exchange(std::vector<HttpHeader>{{"X-Request-Id", "mine"}});
  exchange.call->RespondJson({{"a", 1}});
  EXPECT_EQ(exchange.Header("x-request-id"), "mine");
  exchange.call.reset();
  ASSERT_EQ(exchange.log.records.size(), 1u);
  EXPECT_EQ(exchange.log.records[0].request_id, "mine");
  EXPECT_EQ(exchange.log.records[0].status, 200);
}

TEST(ApiCallTest, IdsThatCouldBreakALineAreReplaced) {
  for (const char* bad : {"", "a b", "a\tb"}) {
    Exchange exchange(std::vector<HttpHeader>{{"X-Request-Id", bad}});
    EXPECT_TRUE(absl::StartsWith(exchange.call->id(), "req_")) << bad;
    exchange.call->RespondJson({});
  }
}

TEST(ApiCallTest, AStreamIsOneLineWhenItEnds) {
  Exchange exchange;
  exchange.call->StartEvents();
  EXPECT_TRUE(exchange.call->Send(DataEvent({{"a", "line\nbreak"}})));
  exchange.call->NoteUsage(3, 4);
  exchange.call->Finish();
  EXPECT_EQ(exchange.queue->Take().data, "data: {\"a\":\"line\\nbreak\"}\n\n");
  exchange.call.reset();
  const AccessRecord& record = exchange.log.records.at(0);
  EXPECT_TRUE(record.streamed);
  EXPECT_FALSE(record.gone);
  EXPECT_EQ(record.prompt_tokens, 3);
  EXPECT_EQ(record.completion_tokens, 4);
  EXPECT_EQ(AccessLine(record).find('\n'), std::string::npos);
}

TEST(ApiCallTest, AClientThatLeftIsLoggedAsGone) {
  Exchange exchange;
  exchange.queue->MarkGone();
  exchange.call.reset();
  EXPECT_TRUE(exchange.log.records.at(0).gone);
  EXPECT_EQ(exchange.log.records.at(0).status, 499);
}

TEST(ApiCallTest, OnlyAllowedOriginsMayRead) {
  Exchange exchange(std::vector<HttpHeader>{{"Origin", "https://a.example"}});
  exchange.origins = {"https://b.example"};
  exchange.call->RespondJson({});
  EXPECT_EQ(exchange.Header("Access-Control-Allow-Origin"), "");
  Exchange other(std::vector<HttpHeader>{{"Origin", "https://a.example"}});
  other.origins = {"https://b.example", "https://a.example"};
  other.call->RespondJson({});
  EXPECT_EQ(other.Header("Access-Control-Allow-Origin"), "https://a.example");
}

TEST(ApiErrorTest, EveryKindOfErrorHasItsStatusAndField) {
  const auto error = [](absl::Status status) { return ErrorOf(status); };
  const ApiError range =
      error(absl::InvalidArgumentError("stop_ids: count: 300 is too many"));
  EXPECT_EQ(range.status, 400);
  EXPECT_EQ(range.param, "stop_token_ids");
  EXPECT_EQ(range.type, "invalid_request_error");
  EXPECT_EQ(error(absl::InvalidArgumentError("a word and: more")).param, "");
  const ApiError model = error(absl::NotFoundError("model: there is no x"));
  EXPECT_EQ(model.status, 404);
  EXPECT_EQ(model.code, "model_not_found");
  EXPECT_EQ(error(absl::UnauthenticatedError("x")).status, 401);
  EXPECT_EQ(error(absl::ResourceExhaustedError("x")).status, 429);
  EXPECT_EQ(error(absl::UnavailableError("x")).status, 503);
  EXPECT_EQ(error(absl::DeadlineExceededError("x")).status, 504);
  EXPECT_EQ(error(absl::InternalError("x")).status, 500);
  EXPECT_EQ(error(HttpError(415, "x")).status, 415);
}

TEST(ApiErrorTest, RefusalsSayWhenToComeBack) {
  const HttpResponse response = ResponseOf(WithRetryAfter(
      absl::ResourceExhaustedError("full"), absl::Milliseconds(1200)));
  std::string seconds;
  for (const HttpHeader& header : response.headers) {
    if (header.name == "Retry-After") seconds = header.value;
  }
  EXPECT_EQ(seconds, "2");
  const ApiJson body = ApiJson::parse(response.body);
  EXPECT_EQ(body["error"]["message"], "full");
  EXPECT_TRUE(body["error"]["param"].is_null());
}

}  // namespace
}  // namespace facet
