// One request and the way its answer goes: whole, or streamed piece by piece.
// This is what a handler sees of HTTP; it needs no server to be tested.
#ifndef FACET_RPC_HTTP_HTTP_EXCHANGE_H_
#define FACET_RPC_HTTP_HTTP_EXCHANGE_H_

#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "rpc/http/http_message.h"

namespace facet {

// The server's end: what waits to be sent. Safe from several threads.
class ExchangeQueue {
 public:
  // `wake` runs when there is something to take, from any thread, under the
  // queue's lock; it must not call back. More than `max_buffered` bytes of a
  // stream that its client does not read break it.
  ExchangeQueue(size_t max_buffered, std::function<void()> wake);

  struct Output {
    std::optional<HttpResponse> head;  // once; its body belongs to the answer
    bool streamed = false;             // of the head: more may follow
    std::string data;                  // of the stream
    bool finished = false;             // nothing follows
    bool broken = false;  // the answer will never be whole: cut the connection

    bool empty() const {
      return !head.has_value() && data.empty() && !finished && !broken;
    }
  };
  Output Take();

  // The answer will never be whole; what is being sent of it can be cut short.
  bool broken() const;

  // The client is gone: tells the handler, unless its answer is complete.
  void MarkGone();

  // The server is done with it; `wake` does not run any more.
  void Close();

 private:
  friend class HttpExchange;

  // With mutex_ held.
  void Wake();
  void Break();

  size_t max_buffered_;
  mutable std::mutex mutex_;
  std::function<void()> wake_;
  std::function<void()> on_gone_;
  std::optional<HttpResponse> head_;
  std::string data_;
  bool streamed_ = false;
  bool answered_ = false;  // a head was given
  bool finished_ = false;
  bool broken_ = false;
  bool gone_ = false;
  bool woken_ = false;  // and nothing taken since
};

// The handler's end. Any thread may answer, now or later; the calls of one
// answer come one after another. Dropping the last reference with the answer
// incomplete is answered with 500, or cuts the stream.
class HttpExchange {
 public:
  HttpExchange(HttpRequest request, std::shared_ptr<ExchangeQueue> queue);
  ~HttpExchange();
  HttpExchange(const HttpExchange&) = delete;
  HttpExchange& operator=(const HttpExchange&) = delete;

  const HttpRequest& request() const { return request_; }

  // The whole answer. REQUIRES: not answered yet.
  void Respond(HttpResponse response);

  // The beginning of a streamed one, e.g. of server-sent events; head.body is
  // its first piece. REQUIRES: not answered yet.
  void StartStream(HttpResponse head);

  // The next piece; never blocks. False: the client is gone or reads too
  // slowly; nothing more will reach it, and whatever produces the stream should
  // stop. With `at_once`, the piece came faster than any client reads, and does
  // not count against this one. REQUIRES: between StartStream() and Finish().
  bool Write(const std::string& data, bool at_once = false);

  // The end of the stream. REQUIRES: StartStream() was called.
  void Finish();

  // `callback` runs once, on any thread, if the client leaves before the answer
  // is complete; at once if it has left. It must not block. A client that
  // closes its sending half counts as one that left; a whole answer still
  // reaches it.
  void OnGone(std::function<void()> callback);
  bool gone() const;

 private:
  const HttpRequest request_;
  const std::shared_ptr<ExchangeQueue> queue_;
};

// Called on the server's one thread, so it must not block: what takes longer is
// answered from another thread.
using HttpHandler = std::function<void(std::shared_ptr<HttpExchange>)>;

}  // namespace facet

#endif  // FACET_RPC_HTTP_HTTP_EXCHANGE_H_
