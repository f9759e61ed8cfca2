#include "rpc/http/http_exchange.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>

namespace facet {
namespace {

struct Pair {
  explicit Pair(size_t max_buffered = 1000)
      : queue(
            std::make_shared<ExchangeQueue>(max_buffered, [this] { ++wakes; })),
        exchange(std::make_shared<HttpExchange>(HttpRequest(), queue)) {}
  int wakes = 0;
  std::shared_ptr<ExchangeQueue> queue;
  std::shared_ptr<HttpExchange> exchange;
};

HttpResponse Body(std::string body) {
  HttpResponse response;
  response.body = std::move(body);
  return response;
}

TEST(HttpExchangeTest, AWholeAnswerIsTakenOnce) {
  Pair pair;
  EXPECT_TRUE(pair.queue->Take().empty());
  pair.exchange->Respond(Body("hello"));
  EXPECT_EQ(pair.wakes, 1);
  const ExchangeQueue::Output output = pair.queue->Take();
  ASSERT_TRUE(output.head.has_value());
  EXPECT_EQ(output.head->body, "hello");
  EXPECT_TRUE(output.finished);
  EXPECT_FALSE(output.streamed);
  EXPECT_FALSE(pair.queue->Take().head.has_value());
}

TEST(HttpExchangeTest, PiecesGatherUntilTaken) {
  Pair pair;
  pair.exchange->StartStream(Body("a"));
  EXPECT_TRUE(pair.exchange->Write("b"));
  EXPECT_TRUE(pair.exchange->Write("c"));
  EXPECT_EQ(pair.wakes, 1);
  ExchangeQueue::Output output = pair.queue->Take();
  EXPECT_TRUE(output.streamed);
  EXPECT_EQ(output.head->body + output.data, "abc");
  EXPECT_FALSE(output.finished);
  EXPECT_TRUE(pair.exchange->Write("d"));
  pair.exchange->Finish();
  EXPECT_EQ(pair.wakes, 2);
  output = pair.queue->Take();
  EXPECT_EQ(output.data, "d");
  EXPECT_TRUE(output.finished);
}

TEST(HttpExchangeTest, MoreThanTheBufferBreaksTheStream) {
  Pair pair(/*max_buffered=*/10);
  bool told = false;
  pair.exchange->OnGone([&told] { told = true; });
  pair.exchange->StartStream(HttpResponse());
  EXPECT_TRUE(pair.exchange->Write("0123456789"));
  EXPECT_FALSE(pair.queue->broken());
  EXPECT_FALSE(pair.exchange->Write("x"));
  EXPECT_TRUE(pair.exchange->gone());
  EXPECT_TRUE(pair.queue->Take().broken);
  EXPECT_FALSE(pair.exchange->Write("y"));
  pair.queue->Close();
  EXPECT_TRUE(told);
}

TEST(HttpExchangeTest, TheHandlerIsToldOnceThatTheClientLeft) {
  Pair pair;
  int told = 0;
  pair.exchange->OnGone([&told] { ++told; });
  EXPECT_FALSE(pair.exchange->gone());
  pair.queue->MarkGone();
  pair.queue->MarkGone();
  pair.queue->Close();
  EXPECT_EQ(told, 1);
  EXPECT_TRUE(pair.exchange->gone());
  pair.exchange->OnGone([&told] { told += 10; });  // late, so at once
  EXPECT_EQ(told, 11);
}

TEST(HttpExchangeTest, NobodyIsToldAfterACompleteAnswer) {
  Pair pair;
  auto held = std::make_shared<int>();
  const std::weak_ptr<int> watch = held;
  pair.exchange->OnGone([held] { ADD_FAILURE() << "told"; });
  held.reset();
  pair.exchange->Respond(HttpResponse());
  EXPECT_TRUE(watch.expired()) << "the callback is kept";
  pair.queue->MarkGone();
}

TEST(HttpExchangeTest, AWholeAnswerReachesAClientThatClosedItsHalf) {
  Pair pair;
  pair.queue->MarkGone();
  pair.exchange->Respond(Body("late"));
  EXPECT_EQ(pair.queue->Take().head->body, "late");
}

TEST(HttpExchangeTest, AStreamToAClientThatLeftIsBroken) {
  for (const bool before : {true, false}) {
    Pair pair;
    if (before) pair.queue->MarkGone();
    pair.exchange->StartStream(HttpResponse());
    if (!before) pair.queue->MarkGone();
    EXPECT_FALSE(pair.exchange->Write("x"));
    EXPECT_TRUE(pair.queue->Take().broken);
    pair.exchange->Finish();
  }
}

TEST(HttpExchangeTest, DroppingARequestAnswersIt) {
  Pair pair;
  pair.exchange.reset();
  const ExchangeQueue::Output output = pair.queue->Take();
  EXPECT_EQ(output.head->status, 500);
  EXPECT_TRUE(output.finished);
  EXPECT_EQ(pair.wakes, 1);
}

TEST(HttpExchangeTest, DroppingAStreamBreaksIt) {
  Pair pair;
  pair.exchange->StartStream(HttpResponse());
  pair.exchange.reset();
  EXPECT_TRUE(pair.queue->Take().broken);
}

TEST(HttpExchangeTest, AClosedQueueWakesNobody) {
  Pair pair;
  pair.queue->Close();
  const int wakes = pair.wakes;
  pair.exchange->Respond(HttpResponse());
  EXPECT_EQ(pair.wakes, wakes);
}

TEST(HttpExchangeTest, HeadersAreFoundInAnyCase) {
  HttpRequest request;
  request.headers = {{"Content-Type", "a"}, {"content-type", "b"}};
  ASSERT_NE(request.Header("CONTENT-type"), nullptr);
  EXPECT_EQ(*request.Header("CONTENT-type"), "a");
  EXPECT_EQ(request.Header("accept"), nullptr);
}

}  // namespace
}  // namespace facet
