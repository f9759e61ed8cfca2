#include "rpc/http/http_connection.h"

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <chrono>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "rpc/http/error_response.h"
#include "rpc/http/http_socket.h"
#include "rpc/http/response_head.h"

namespace facet {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using asio::ip::tcp;
using boost::system::error_code;

constexpr auto kToken = asio::as_tuple(asio::use_awaitable);
// A refused client may still be sending; closing in its face would take the
// answer away from it.
constexpr auto kLinger = std::chrono::seconds(2);
// What may arrive ahead of its turn.
constexpr size_t kReadAheadBytes = size_t{64} << 10;

using Parser = http::request_parser<http::string_body>;

std::string ToString(boost::beast::string_view text) {
  return std::string(text.data(), text.size());
}

std::string PeerName(const tcp::socket& socket) {
  error_code error;
  const tcp::endpoint peer = socket.remote_endpoint(error);
  if (error) return "";
  return absl::StrCat(peer.address().to_string(), ":", peer.port());
}

HttpRequest MakeRequest(Parser& parser, const std::string& peer) {
  HttpRequest request;
  request.method = ToString(parser.get().method_string());
  std::string target = ToString(parser.get().target());
  if (absl::StartsWithIgnoreCase(target, "http://")) {  // as to a proxy
    const size_t slash = target.find('/', 7);
    target = slash == std::string::npos ? "/" : target.substr(slash);
  }
  const size_t mark = target.find('?');
  request.path = target.substr(0, mark);
  if (mark != std::string::npos) request.query = target.substr(mark + 1);
  for (const auto& field : parser.get()) {
    request.headers.push_back(
        {ToString(field.name_string()), ToString(field.value())});
  }
  request.body = std::move(parser.get().body());
  request.peer = peer;
  return request;
}

class HttpConnectionImpl final
    : public HttpConnection,
      public std::enable_shared_from_this<HttpConnectionImpl> {
 public:
  HttpConnectionImpl(tcp::socket socket, std::shared_ptr<TlsContext> tls,
                     const HttpServerOptions* options,
                     const HttpHandler* handler)
      : options_(*options),
        handler_(*handler),
        socket_(std::move(socket), std::move(tls)),
        peer_(PeerName(socket_.tcp())),
        deadline_(socket_.get_executor()),
        output_ready_(socket_.get_executor()),
        never_(socket_.get_executor()),
        buffer_(std::max(kReadAheadBytes, 2 * options->max_header_bytes)) {
    error_code ignored;
    socket_.tcp().set_option(tcp::no_delay(true), ignored);
  }

  // Whoever still answers must not wake what is no more.
  ~HttpConnectionImpl() override {
    if (queue_ != nullptr) queue_->Close();
  }

  asio::awaitable<void> Run() override {
    // Cancelled waits are told by their error codes.
    co_await asio::this_coro::throw_if_cancelled(false);
    if (co_await Greet()) {
      while (co_await ServeOne()) {
      }
      co_await SayGoodbye();
    }
    ClearDeadline();
    error_code ignored;
    socket_.tcp().close(ignored);
  }

  void Drain() override {
    draining_ = true;
    if (idle_) Cancel();
  }

  void Abort() override {
    aborted_ = draining_ = true;
    if (queue_ != nullptr) queue_->MarkGone();
    error_code ignored;
    socket_.tcp().close(ignored);
    output_ready_.cancel();
  }

 private:
  // Agrees on keys where there is TLS. False: the client may not come in.
  asio::awaitable<bool> Greet() {
    if (!socket_.has_tls()) co_return true;
    idle_ = true;  // nothing is lost if the server shuts down now
    SetDeadline(options_.header_timeout);
    const auto [error] = co_await socket_.async_handshake(kToken);
    idle_ = false;
    co_return !error && !expired_ && !aborted_;
  }

  // Tells a client with TLS that this was all, so that it can tell a whole
  // answer from one that somebody cut.
  asio::awaitable<void> SayGoodbye() {
    if (!socket_.has_tls() || aborted_ || cut_) co_return;
    SetDeadline(absl::FromChrono(kLinger));
    co_await socket_.async_shutdown(kToken);
  }

  // Reads a request and answers it. False: the connection ends.
  asio::awaitable<bool> ServeOne() {
    if (!co_await WaitForRequest()) co_return false;
    Parser parser;
    parser.header_limit(static_cast<uint32_t>(options_.max_header_bytes));
    parser.body_limit(options_.max_body_bytes);

    SetDeadline(options_.header_timeout);
    auto [header_error, header_size] =
        co_await http::async_read_header(socket_, buffer_, parser, kToken);
    if (header_error) co_return co_await Refuse(header_error);
    head_request_ = parser.get().method() == http::verb::head;
    http11_ = parser.get().version() >= 11;
    const auto& fields = parser.get();
    if (http11_ && fields.count(http::field::host) != 1) {
      co_return co_await Refuse(400, "expected one Host header");
    }
    if (!parser.is_done()) {
      SetDeadline(options_.body_timeout);
      if (boost::beast::iequals(fields[http::field::expect], "100-continue")) {
        const std::string go_on = "HTTP/1.1 100 Continue\r\n\r\n";
        if (!co_await Send(go_on)) co_return false;
        SetDeadline(options_.body_timeout);
      }
      auto [body_error, body_size] =
          co_await http::async_read(socket_, buffer_, parser, kToken);
      if (body_error) co_return co_await Refuse(body_error);
    }
    ClearDeadline();
    keep_alive_ = parser.keep_alive();
    co_return co_await Answer(MakeRequest(parser, peer_));
  }

  // True: the first bytes of a request are there.
  asio::awaitable<bool> WaitForRequest() {
    if (draining_) co_return false;
    if (buffer_.size() > 0) co_return true;
    idle_ = true;
    SetDeadline(options_.idle_timeout);
    const auto [error, count] =
        co_await socket_.async_read_some(buffer_.prepare(4096), kToken);
    idle_ = false;
    if (error || expired_) co_return false;
    buffer_.commit(count);
    co_return true;
  }

  // Answers a request that could not be read.
  asio::awaitable<bool> Refuse(error_code error) {
    if (aborted_) co_return false;
    if (expired_) co_return co_await Refuse(408, "the request came too slowly");
    if (error == http::error::header_limit ||
        error == http::error::buffer_overflow) {
      co_return co_await Refuse(
          431, absl::StrCat("the header is longer than ",
                            options_.max_header_bytes, " bytes"));
    }
    if (error == http::error::body_limit) {
      co_return co_await Refuse(
          413, absl::StrCat("the body is longer than ", options_.max_body_bytes,
                            " bytes"));
    }
    if (error == http::error::bad_version) {
      co_return co_await Refuse(505, "expected HTTP/1.1");
    }
    if (error == http::error::end_of_stream ||
        error.category() !=
            make_error_code(http::error::bad_method).category()) {
      co_return false;  // the client is gone
    }
    co_return co_await Refuse(
        400, absl::StrCat("malformed request: ", error.message()));
  }

  asio::awaitable<bool> Refuse(int status, const std::string& message) {
    const HttpResponse response = ErrorResponse(status, message);
    std::string bytes =
        ResponseHead(response, BodyEnd::kLength, false, absl::Now());
    if (!head_request_) bytes += response.body;
    if (!co_await Send(bytes)) co_return false;
    error_code ignored;
    socket_.tcp().shutdown(tcp::socket::shutdown_send, ignored);
    cut_ = true;
    SetDeadline(absl::FromChrono(kLinger));
    for (;;) {
      buffer_.clear();
      const auto [error, count] =
          co_await socket_.async_read_some(buffer_.prepare(4096), kToken);
      if (error || expired_ || aborted_) co_return false;
    }
  }

  asio::awaitable<bool> Answer(HttpRequest request) {
    using asio::experimental::awaitable_operators::operator||;
    const std::weak_ptr<HttpConnectionImpl> weak = weak_from_this();
    queue_ = std::make_shared<ExchangeQueue>(
        options_.max_buffered_bytes, [weak, executor = socket_.get_executor()] {
          asio::post(executor, [weak] {
            if (const auto self = weak.lock()) self->WakeSender();
          });
        });
    ready_ = false;
    handler_(std::make_shared<HttpExchange>(std::move(request), queue_));

    bool complete = false;
    ExchangeQueue::Output first = queue_->Take();
    if (first.finished) {
      complete = co_await SendOutput(std::move(first));
    } else {
      const auto result = co_await (SendAll(std::move(first)) || WatchPeer());
      complete = result.index() == 0 && std::get<0>(result);
    }
    const auto queue = std::exchange(queue_, nullptr);
    queue->Close();
    co_return complete&& keep_alive_ && !draining_;
  }

  // Sends what the handler gives, to its end. True: all of it was sent.
  asio::awaitable<bool> SendAll(ExchangeQueue::Output output) {
    co_await asio::this_coro::throw_if_cancelled(false);
    for (;;) {
      if (output.broken || aborted_) {
        cut_ = true;
        co_return false;
      }
      const bool finished = output.finished;
      if (!output.empty() && !co_await SendOutput(std::move(output))) {
        co_return false;
      }
      if (finished) co_return true;
      while (!ready_ && !aborted_) {
        output_ready_.expires_at(asio::steady_timer::time_point::max());
        co_await output_ready_.async_wait(kToken);
      }
      ready_ = false;
      output = queue_->Take();
    }
  }

  asio::awaitable<bool> SendOutput(ExchangeQueue::Output output) {
    std::string bytes;
    if (output.head.has_value()) {
      if (draining_) keep_alive_ = false;
      const HttpResponse& head = *output.head;
      body_end_ = !output.streamed ? BodyEnd::kLength
                  : http11_        ? BodyEnd::kChunked
                                   : BodyEnd::kClose;
      if (body_end_ == BodyEnd::kClose) keep_alive_ = false;
      bytes = ResponseHead(head, body_end_, keep_alive_, absl::Now());
      output.data.insert(0, head.body);
    }
    if (!head_request_) {
      const bool chunked = body_end_ == BodyEnd::kChunked;
      bytes += chunked ? Chunk(output.data) : output.data;
      if (chunked && output.finished) bytes += kLastChunk;
    }
    co_return co_await Send(bytes);
  }

  asio::awaitable<bool> Send(const std::string& bytes) {
    size_t sent = 0;
    while (sent < bytes.size()) {
      SetDeadline(options_.write_timeout);
      const auto [error, count] = co_await socket_.async_write_some(
          asio::buffer(bytes.data() + sent, bytes.size() - sent), kToken);
      if (error || expired_ || aborted_) {
        cut_ = true;
        co_return false;
      }
      sent += count;
    }
    ClearDeadline();
    co_return true;
  }

  // Notices that the client leaves while its answer is under way. What it sends
  // meanwhile is kept for its turn. Never returns by itself.
  asio::awaitable<void> WatchPeer() {
    co_await asio::this_coro::throw_if_cancelled(false);
    const asio::cancellation_state state =
        co_await asio::this_coro::cancellation_state;
    const auto cancelled = [&state] {
      return state.cancelled() != asio::cancellation_type::none;
    };
    while (!cancelled() && buffer_.size() < buffer_.max_size()) {
      const size_t room =
          std::min<size_t>(4096, buffer_.max_size() - buffer_.size());
      const auto [error, count] =
          co_await socket_.async_read_some(buffer_.prepare(room), kToken);
      buffer_.commit(count);
      if (error && !cancelled()) {
        queue_->MarkGone();
        break;
      }
    }
    if (cancelled()) co_return;
    never_.expires_at(asio::steady_timer::time_point::max());
    co_await never_.async_wait(kToken);
  }

  void WakeSender() {
    ready_ = true;
    output_ready_.cancel();
    // The sender may be waiting for a client that does not read.
    if (queue_ != nullptr && queue_->broken()) Cancel();
  }

  // From now on, what takes longer is cancelled, and expired_ says so.
  void SetDeadline(absl::Duration duration) {
    expired_ = false;
    deadline_.expires_after(absl::ToChronoNanoseconds(duration));
    ArmDeadline(++deadline_number_);
  }

  void ClearDeadline() {
    ++deadline_number_;
    deadline_.cancel();
  }

  void ArmDeadline(uint64_t number) {
    deadline_.async_wait(
        [weak = weak_from_this(), number](const error_code& error) {
          const auto self = weak.lock();
          if (error || self == nullptr || number != self->deadline_number_) {
            return;
          }
          self->expired_ = true;
          self->Cancel();
          // An operation of several parts may have been between two of them.
          self->deadline_.expires_after(std::chrono::milliseconds(200));
          self->ArmDeadline(number);
        });
  }

  void Cancel() {
    error_code ignored;
    socket_.tcp().cancel(ignored);
  }

  const HttpServerOptions& options_;
  const HttpHandler& handler_;
  HttpSocket socket_;
  const std::string peer_;

  asio::steady_timer deadline_;
  uint64_t deadline_number_ = 0;
  bool expired_ = false;

  std::shared_ptr<ExchangeQueue> queue_;  // of the answer under way
  asio::steady_timer output_ready_;
  bool ready_ = false;
  asio::steady_timer never_;

  boost::beast::flat_buffer buffer_;
  bool idle_ = false;
  bool draining_ = false;
  bool aborted_ = false;
  bool cut_ = false;  // what was sent last is not whole, or nothing may follow

  // Of the request being served.
  bool head_request_ = false;
  bool http11_ = true;
  bool keep_alive_ = false;
  BodyEnd body_end_ = BodyEnd::kLength;
};

}  // namespace

std::shared_ptr<HttpConnection> HttpConnection::Create(
    tcp::socket socket, std::shared_ptr<TlsContext> tls,
    const HttpServerOptions* options, const HttpHandler* handler) {
  return std::make_shared<HttpConnectionImpl>(std::move(socket), std::move(tls),
                                              options, handler);
}

}  // namespace facet
