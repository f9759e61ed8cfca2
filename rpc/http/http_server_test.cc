#include "rpc/http/http_server.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "rpc/http/raw_client.h"

namespace facet {
namespace {

// Exchanges that a test answers itself.
class Inbox {
 public:
  void Put(std::shared_ptr<HttpExchange> exchange) {
    const std::lock_guard<std::mutex> lock(mutex_);
    exchanges_.push_back(std::move(exchange));
    changed_.notify_all();
  }
  std::shared_ptr<HttpExchange> Next() {
    std::unique_lock<std::mutex> lock(mutex_);
    if (!changed_.wait_for(lock, std::chrono::seconds(5),
                           [this] { return !exchanges_.empty(); })) {
      ADD_FAILURE() << "no request came in 5 s";
      return nullptr;
    }
    auto exchange = std::move(exchanges_.front());
    exchanges_.erase(exchanges_.begin());
    return exchange;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::shared_ptr<HttpExchange>> exchanges_;
};

class Flag {
 public:
  void Set() {
    const std::lock_guard<std::mutex> lock(mutex_);
    set_ = true;
    changed_.notify_all();
  }
  bool Wait() {
    std::unique_lock<std::mutex> lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(5),
                             [this] { return set_; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool set_ = false;
};

// Tells what the request was, in the body of the answer.
void Echo(const std::shared_ptr<HttpExchange>& exchange) {
  const HttpRequest& request = exchange->request();
  HttpResponse response;
  response.content_type = "text/plain";
  response.body = request.method + " " + request.path + " " + request.query +
                  " " + request.body;
  exchange->Respond(std::move(response));
}

std::unique_ptr<HttpServer> StartServer(HttpHandler handler,
                                        const HttpServerOptions& options = {}) {
  auto server = HttpServer::Start("127.0.0.1:0", std::move(handler), options);
  EXPECT_TRUE(server.ok()) << server.status();
  return *std::move(server);
}

std::string Get(const std::string& target, const std::string& more = "") {
  return "GET " + target + " HTTP/1.1\r\nHost: x\r\n" + more + "\r\n";
}

std::string Post(const std::string& target, const std::string& body) {
  return "POST " + target + " HTTP/1.1\r\nHost: x\r\nContent-Length: " +
         std::to_string(body.size()) + "\r\n\r\n" + body;
}

TEST(HttpServerTest, AnswersAndKeepsTheConnection) {
  const auto server = StartServer(Echo);
  RawClient client(server->address());
  client.Send(Get("/a?b=c"));
  const RawClient::Response first = client.ReadResponse();
  EXPECT_EQ(first.status, 200);
  EXPECT_EQ(first.body, "GET /a b=c ");
  EXPECT_NE(first.head.find("Connection: keep-alive\r\n"), std::string::npos);
  EXPECT_NE(first.head.find("Date: "), std::string::npos);
  client.Send(Post("/d", "text"));
  EXPECT_EQ(client.ReadResponse().body, "POST /d  text");
  client.Send(Get("/e", "Connection: close\r\n"));
  const std::string last = client.ReadAll();
  EXPECT_NE(last.find("Connection: close\r\n"), std::string::npos);
  EXPECT_NE(last.find("GET /e  "), std::string::npos);
}

TEST(HttpServerTest, RequestsMayComeByteByByte) {
  const auto server = StartServer(Echo);
  RawClient client(server->address());
  for (const char byte : Post("/slow", "body")) {
    ASSERT_TRUE(client.Send(std::string(1, byte)));
  }
  EXPECT_EQ(client.ReadResponse().body, "POST /slow  body");
}

TEST(HttpServerTest, PipelinedRequestsAreAnsweredInTheirOrder) {
  Inbox inbox;
  const auto server = StartServer([&](auto exchange) { inbox.Put(exchange); });
  RawClient client(server->address());
  client.Send(Post("/1", "one") + Get("/2") + Post("/3", "three"));
  for (const std::string body : {"one", "", "three"}) {
    const auto exchange = inbox.Next();
    EXPECT_EQ(exchange->request().body, body);
    EXPECT_FALSE(exchange->gone());
    Echo(exchange);
  }
  EXPECT_EQ(client.ReadResponse().body, "POST /1  one");
  EXPECT_EQ(client.ReadResponse().body, "GET /2  ");
  EXPECT_EQ(client.ReadResponse().body, "POST /3  three");
}

TEST(HttpServerTest, RequestsThatComeDuringAnAnswerWaitTheirTurn) {
  Inbox inbox;
  const auto server = StartServer([&](auto exchange) { inbox.Put(exchange); });
  RawClient client(server->address());
  client.Send(Get("/1"));
  const auto first = inbox.Next();
  client.Send(Get("/2"));
  EXPECT_TRUE(client.StaysQuiet(50));
  EXPECT_FALSE(first->gone());
  Echo(first);
  EXPECT_EQ(client.ReadResponse().body, "GET /1  ");
  Echo(inbox.Next());
  EXPECT_EQ(client.ReadResponse().body, "GET /2  ");
}

TEST(HttpServerTest, ChunkedBodiesArePutTogether) {
  const auto server = StartServer(Echo);
  RawClient client(server->address());
  client.Send(
      "POST /c HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
      "3\r\nabc\r\n");
  client.Send("A;note=1\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n");
  EXPECT_EQ(client.ReadResponse().body, "POST /c  abc0123456789");
}

TEST(HttpServerTest, HeadGetsTheLengthAndNoBody) {
  const auto server = StartServer(Echo);
  RawClient client(server->address());
  client.Send("HEAD /h HTTP/1.1\r\nHost: x\r\n\r\n" + Get("/next"));
  const auto head = client.ReadResponse(/*head_only=*/true);
  EXPECT_EQ(head.status, 200);
  EXPECT_NE(head.head.find("Content-Length: 9\r\n"), std::string::npos);
  EXPECT_EQ(client.ReadResponse().body, "GET /next  ");
}

TEST(HttpServerTest, OldClientsAreServed) {
  const auto server = StartServer(Echo);
  RawClient client(server->address());
  client.Send("GET /old HTTP/1.0\r\n\r\n");
  const std::string all = client.ReadAll();
  EXPECT_NE(all.find("Connection: close\r\n"), std::string::npos);
  EXPECT_NE(all.find("GET /old  "), std::string::npos);
}

TEST(HttpServerTest, TargetsMayNameTheServer) {
  const auto server = StartServer(Echo);
  RawClient client(server->address());
  client.Send(Get("http://example.org:80/p?q") + Get("http://example.org"));
  EXPECT_EQ(client.ReadResponse().body, "GET /p q ");
  EXPECT_EQ(client.ReadResponse().body, "GET /  ");
}

TEST(HttpServerTest, ExpectContinueIsAnsweredBeforeTheBody) {
  const auto server = StartServer(Echo);
  RawClient client(server->address());
  client.Send(
      "POST /e HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n"
      "Expect: 100-continue\r\n\r\n");
  EXPECT_EQ(client.ReadUntil("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  client.Send("ok");
  EXPECT_EQ(client.ReadResponse().body, "POST /e  ok");
}

TEST(HttpServerTest, AClientThatClosesItsHalfGetsItsAnswer) {
  const auto server = StartServer(Echo);
  RawClient client(server->address());
  client.Send(Get("/half"));
  client.CloseSending();
  EXPECT_NE(client.ReadAll().find("GET /half  "), std::string::npos);
}

struct BadRequest {
  const char* name;
  std::string bytes;
  int status;
};

// Each is refused, in OpenAI's shape, and ends the connection: where the next
// request would begin is anybody's guess.
TEST(HttpServerTest, MalformedRequestsAreRefused) {
  const auto server = StartServer(Echo);
  const std::string huge(17 << 10, 'x');
  const std::vector<BadRequest> cases = {
      {"no HTTP", "hello\r\n\r\n", 400},
      {"TLS", std::string("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n"),
       400},
      {"version", "GET / HTTP/3.0\r\nHost: x\r\n\r\n", 505},
      {"HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505},
      {"no host", "GET / HTTP/1.1\r\n\r\n", 400},
      {"two hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400},
      {"space before colon", "GET / HTTP/1.1\r\nHost : x\r\n\r\n", 400},
      {"NUL in a header",
       std::string("GET / HTTP/1.1\r\nHost: x\0y\r\n\r\n", 29), 400},
      {"bad length", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
       400},
      {"two lengths",
       "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n"
       "Content-Length: 2\r\n\r\nab",
       400},
      {"length and chunked",
       "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n"
       "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
       400},
      {"chunked and length",
       "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
       "Content-Length: 1\r\n\r\n0\r\n\r\n",
       400},
      {"bad chunk",
       "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
       "zz\r\n\r\n",
       400},
      {"long target", Get("/" + huge), 431},
      {"long header", Get("/", "X: " + huge + "\r\n"), 431},
      {"many headers",
       [] {
         std::string lines;
         for (int i = 0; i < 5000; ++i) lines += "A: b\r\n";
         return Get("/", lines);
       }(),
       431},
      {"endless header", "GET / HTTP/1.1\r\nX: " + huge, 431},
      {"long body",
       "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1048577\r\n\r\n", 413},
      {"absurd body",
       "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: "
       "18446744073709551615\r\n\r\n",
       413},
      {"long chunk",
       "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
       "100001\r\n",
       413},
      {"cut header", "GET / HT", 400},
      {"cut body", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc",
       400},
  };
  for (const BadRequest& bad : cases) {
    RawClient client(server->address());
    client.Send(bad.bytes);
    if (std::string(bad.name).rfind("cut", 0) == 0) client.CloseSending();
    const RawClient::Response response = client.ReadResponse();
    EXPECT_EQ(response.status, bad.status) << bad.name;
    EXPECT_EQ(response.body.rfind("{\"error\":{\"message\":", 0), 0u)
        << bad.name << ": " << response.body;
    client.CloseSending();
    EXPECT_EQ(client.ReadAll(), "") << bad.name;
  }
  RawClient client(server->address());
  client.Send(Get("/fine"));
  EXPECT_EQ(client.ReadResponse().status, 200);
}

TEST(HttpServerTest, ARefusalReachesAClientThatIsStillSending) {
  HttpServerOptions options;
  options.max_body_bytes = 1000;
  const auto server = StartServer(Echo, options);
  RawClient client(server->address());
  client.Send(Post("/big", std::string(300000, 'x')));
  EXPECT_EQ(client.ReadResponse().status, 413);
}

TEST(HttpServerTest, BodiesUpToTheLimitAreTaken) {
  HttpServerOptions options;
  options.max_body_bytes = 300000;
  const auto server = StartServer(Echo, options);
  RawClient client(server->address());
  const std::string body(300000, 'x');
  client.Send(Post("/b", body));
  EXPECT_EQ(client.ReadResponse().body, "POST /b  " + body);
}

TEST(HttpServerTest, SlowClientsAreCutOff) {
  HttpServerOptions options;
  options.header_timeout = absl::Milliseconds(100);
  options.body_timeout = absl::Milliseconds(100);
  options.idle_timeout = absl::Milliseconds(100);
  const auto server = StartServer(Echo, options);

  RawClient idle(server->address());
  EXPECT_EQ(idle.ReadAll(), "");
  RawClient header(server->address());
  header.Send("GET / HTTP/1.1\r\nHo");
  EXPECT_EQ(header.ReadResponse().status, 408);
  RawClient body(server->address());
  body.Send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab");
  EXPECT_EQ(body.ReadResponse().status, 408);
  RawClient drip(server->address());  // never idle, never done
  const auto start = std::chrono::steady_clock::now();
  bool open = true;
  for (int i = 0; i < 500 && open; ++i) {
    open = drip.Send("x") && drip.StaysQuiet(5);
  }
  EXPECT_FALSE(open);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(2));
}

TEST(HttpServerTest, MoreConnectionsThanAllowedAreTurnedAway) {
  HttpServerOptions options;
  options.max_connections = 2;
  const auto server = StartServer(Echo, options);
  auto first = std::make_unique<RawClient>(server->address());
  first->Send(Get("/1"));
  EXPECT_EQ(first->ReadResponse().status, 200);
  RawClient second(server->address());
  second.Send(Get("/2"));
  EXPECT_EQ(second.ReadResponse().status, 200);
  RawClient third(server->address());
  const std::string answer = third.ReadAll();
  EXPECT_EQ(answer.rfind("HTTP/1.1 503 ", 0), 0u) << answer;
  EXPECT_NE(answer.find("Retry-After: 1\r\n"), std::string::npos);

  first.reset();  // and its place is free
  for (int i = 0; i < 100; ++i) {
    RawClient next(server->address());
    next.Send(Get("/3"));
    if (next.ReadResponse().status == 200) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  FAIL() << "the place of a closed connection stays taken";
}

HttpResponse EventStream() {
  HttpResponse head;
  head.content_type = "text/event-stream";
  return head;
}

TEST(HttpServerTest, PiecesOfAStreamArriveAsTheyAreWritten) {
  Inbox inbox;
  const auto server = StartServer([&](auto exchange) { inbox.Put(exchange); });
  RawClient client(server->address());
  client.Send(Get("/stream") + Get("/after"));
  auto exchange = inbox.Next();
  exchange->StartStream(EventStream());
  const std::string head = client.ReadUntil("\r\n\r\n");
  EXPECT_NE(head.find("Transfer-Encoding: chunked\r\n"), std::string::npos);
  EXPECT_NE(head.find("Content-Type: text/event-stream\r\n"),
            std::string::npos);
  EXPECT_EQ(head.find("Content-Length"), std::string::npos);
  for (const std::string piece : {"data: 1\n\n", "data: two\n\n"}) {
    EXPECT_TRUE(exchange->Write(piece));
    EXPECT_EQ(
        client.ReadUntil("\n\n\r\n"),
        std::string(piece.size() == 9 ? "9" : "b") + "\r\n" + piece + "\r\n");
  }
  EXPECT_TRUE(exchange->Write(""));  // ends nothing
  exchange->Finish();
  exchange.reset();
  EXPECT_EQ(client.ReadUntil("0\r\n\r\n"), "0\r\n\r\n");
  Echo(inbox.Next());
  EXPECT_EQ(client.ReadResponse().body, "GET /after  ");
}

TEST(HttpServerTest, StreamsToOldClientsEndWithTheConnection) {
  const auto server = StartServer([](auto exchange) {
    HttpResponse head = EventStream();
    head.body = "one ";
    exchange->StartStream(head);
    exchange->Write("two");
    exchange->Finish();
  });
  RawClient client(server->address());
  client.Send("GET /s HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  const std::string all = client.ReadAll();
  EXPECT_EQ(all.find("chunked"), std::string::npos);
  EXPECT_EQ(all.substr(all.find("\r\n\r\n")), "\r\n\r\none two");
}

TEST(HttpServerTest, AClientThatVanishesIsNoticedAtOnce) {
  enum Way { kClose, kReset, kHalf, kWays };
  for (int way = 0; way < kWays; ++way) {
    for (const bool streaming : {false, true}) {
      Inbox inbox;
      const auto server =
          StartServer([&](auto exchange) { inbox.Put(exchange); });
      RawClient client(server->address());
      client.Send(Get("/long"));
      const auto exchange = inbox.Next();
      Flag gone;
      exchange->OnGone([&gone] { gone.Set(); });
      if (streaming) {
        exchange->StartStream(EventStream());
        EXPECT_TRUE(exchange->Write("data: 1\n\n"));
        client.ReadUntil("data: 1\n\n");
      }
      EXPECT_FALSE(exchange->gone());
      if (way == kClose) client.Close();
      if (way == kReset) client.Reset();
      if (way == kHalf) client.CloseSending();
      EXPECT_TRUE(gone.Wait()) << way << streaming;
      if (streaming) {
        EXPECT_FALSE(exchange->Write("data: 2\n\n")) << way;
        exchange->Finish();
      } else {
        Echo(exchange);
        if (way == kHalf) {
          EXPECT_EQ(client.ReadResponse().status, 200);
        }
      }
    }
  }
}

TEST(HttpServerTest, AClientThatDoesNotReadIsCutAndNobodyWaitsForIt) {
  HttpServerOptions options;
  options.max_buffered_bytes = 64 << 10;
  Inbox inbox;
  const auto server = StartServer(
      [&](auto exchange) {
        if (exchange->request().path == "/stream") {
          inbox.Put(exchange);
        } else {
          Echo(exchange);
        }
      },
      options);
  RawClient stuck(server->address(), /*receive_buffer=*/4096);
  stuck.Send(Get("/stream"));
  const auto exchange = inbox.Next();
  Flag gone;
  exchange->OnGone([&gone] { gone.Set(); });
  exchange->StartStream(EventStream());
  const std::string piece(8 << 10, 'x');
  // The kernel takes some megabytes on its way.
  int written = 0;
  while (exchange->Write(piece) && ++written < 100000) {
    if (written % 4 == 0) {
      std::this_thread::sleep_for(std::chrono::microseconds(200));
    }
  }
  EXPECT_LT(written, 100000);
  EXPECT_TRUE(gone.Wait());
  RawClient other(server->address());
  other.Send(Get("/other"));
  EXPECT_EQ(other.ReadResponse().body, "GET /other  ");
}

TEST(HttpServerTest, ManyStreamsGoOnAtOnce) {
  constexpr int kStreams = 100, kPieces = 20;
  Inbox inbox;
  const auto server = StartServer([&](auto exchange) { inbox.Put(exchange); });
  std::vector<std::unique_ptr<RawClient>> clients;
  std::vector<std::shared_ptr<HttpExchange>> exchanges;
  for (int i = 0; i < kStreams; ++i) {
    clients.push_back(std::make_unique<RawClient>(server->address()));
    clients.back()->Send(Get("/" + std::to_string(i)));
    exchanges.push_back(inbox.Next());
    exchanges.back()->StartStream(EventStream());
  }
  for (int piece = 0; piece < kPieces; ++piece) {
    for (const auto& exchange : exchanges) {
      EXPECT_TRUE(exchange->Write(exchange->request().path + " "));
    }
  }
  for (const auto& exchange : exchanges) exchange->Finish();
  for (int i = 0; i < kStreams; ++i) {
    const std::string all = clients[i]->ReadUntil("\r\n0\r\n\r\n");
    int count = 0;
    const std::string mark = "/" + std::to_string(i) + " ";
    for (size_t at = all.find(mark); at != std::string::npos;
         at = all.find(mark, at + 1)) {
      ++count;
    }
    EXPECT_EQ(count, kPieces) << i;
  }
}

TEST(HttpServerTest, DroppedRequestsAreAnswered) {
  const auto server = StartServer([](auto exchange) {
    if (exchange->request().path == "/stream") {
      exchange->StartStream(EventStream());
      exchange->Write("some");
    }
  });
  RawClient client(server->address());
  client.Send(Get("/"));
  EXPECT_EQ(client.ReadResponse().status, 500);
  client.Send(Get("/stream"));
  EXPECT_EQ(client.ReadAll().find("0\r\n\r\n"), std::string::npos)
      << "a stream that broke looks whole";
}

TEST(HttpServerTest, ShutdownLetsAnswersEndAndTakesNothingNew) {
  Inbox inbox;
  const auto server = StartServer([&](auto exchange) { inbox.Put(exchange); });
  RawClient idle(server->address());
  RawClient busy(server->address());
  busy.Send(Get("/long"));
  const auto exchange = inbox.Next();
  Flag ended;
  std::thread shutdown([&] {
    server->Shutdown(absl::Seconds(5));
    ended.Set();
  });
  EXPECT_EQ(idle.ReadAll(), "");
  EXPECT_FALSE(exchange->gone());
  EXPECT_TRUE(busy.StaysQuiet(50));
  Echo(exchange);
  const std::string answer = busy.ReadAll();
  EXPECT_NE(answer.find("GET /long  "), std::string::npos);
  EXPECT_NE(answer.find("Connection: close\r\n"), std::string::npos);
  EXPECT_TRUE(ended.Wait());
  shutdown.join();
}

TEST(HttpServerTest, ShutdownCutsWhatDoesNotEnd) {
  Inbox inbox;
  auto server = StartServer([&](auto exchange) { inbox.Put(exchange); });
  RawClient client(server->address());
  client.Send(Get("/stream"));
  const auto streaming = inbox.Next();
  streaming->StartStream(EventStream());
  RawClient other(server->address());
  other.Send(Get("/long"));
  const auto waiting = inbox.Next();
  std::atomic<int> told{0};
  streaming->OnGone([&told] { ++told; });
  waiting->OnGone([&told] { ++told; });
  server->Shutdown(absl::Milliseconds(20));
  EXPECT_EQ(told, 2);
  server.reset();
  // Handlers that come late find nobody, and do no harm.
  EXPECT_FALSE(streaming->Write("late"));
  Echo(waiting);
}

TEST(HttpServerTest, AddressesThatCannotBeListenedOnAreNamed) {
  const auto server = StartServer(Echo);
  const auto taken = HttpServer::Start(server->address(), Echo, {});
  EXPECT_EQ(taken.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_NE(std::string(taken.status().message().data(),
                        taken.status().message().size())
                .find(server->address()),
            std::string::npos);
  const auto malformed = HttpServer::Start("8000", Echo, {});
  EXPECT_EQ(malformed.status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace facet
