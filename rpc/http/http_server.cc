#include "rpc/http/http_server.h"

#include <fcntl.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <optional>
#include <set>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "rpc/control/listen_address.h"
#include "rpc/http/error_response.h"
#include "rpc/http/http_connection.h"
#include "rpc/http/response_head.h"
#include "rpc/http/tls_context.h"

namespace facet {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

constexpr auto kToken = asio::as_tuple(asio::use_awaitable);

// Worker processes started later inherit no socket.
void CloseOnExec(int fd) { fcntl(fd, F_SETFD, FD_CLOEXEC); }

absl::Status Listen(const std::string& address, tcp::acceptor* acceptor) {
  FACET_ASSIGN_OR_RETURN(const HostPort parsed, ParseHostPort(address));
  error_code error;
  tcp::resolver resolver(acceptor->get_executor());
  const auto endpoints = resolver.resolve(
      parsed.host, absl::StrCat(parsed.port), tcp::resolver::passive, error);
  if (error) {
    return absl::InvalidArgumentError(
        absl::StrCat("address ", address, ": ", error.message()));
  }
  for (const auto& entry : endpoints) {
    const tcp::endpoint endpoint = entry.endpoint();
    acceptor->close(error);
    acceptor->open(endpoint.protocol(), error);
    if (error) continue;
    CloseOnExec(acceptor->native_handle());
    acceptor->set_option(tcp::acceptor::reuse_address(true), error);
    acceptor->bind(endpoint, error);
    if (!error) acceptor->listen(tcp::acceptor::max_listen_connections, error);
    if (!error) return absl::OkStatus();
  }
  return absl::UnavailableError(
      absl::StrCat("cannot listen on ", address, ": ", error.message()));
}

class HttpServerImpl final : public HttpServer {
 public:
  HttpServerImpl(HttpHandler handler, const HttpServerOptions& options)
      : options_(options),
        handler_(std::move(handler)),
        work_(asio::make_work_guard(io_)),
        acceptor_(io_),
        retry_(io_) {}

  ~HttpServerImpl() override {
    Shutdown(absl::ZeroDuration());
    work_.reset();
    if (thread_.joinable()) thread_.join();
  }

  absl::Status Start(const std::string& address) {
    if (options_.tls.used()) {
      FACET_ASSIGN_OR_RETURN(
          tls_, TlsContexts::Open(options_.tls, options_.tls_reload_interval,
                                  options_.on_tls_reload));
    }
    FACET_RETURN_IF_ERROR(Listen(address, &acceptor_));
    const tcp::endpoint endpoint = acceptor_.local_endpoint();
    address_ = ToString(
        HostPort{endpoint.address().to_string(), int{endpoint.port()}});
    running_ = 1;
    asio::co_spawn(io_, Accept(), asio::detached);
    thread_ = std::thread([this] { io_.run(); });
    return absl::OkStatus();
  }

  std::string address() const override { return address_; }

  void Shutdown(absl::Duration grace) override {
    asio::post(io_, [this] {
      stopping_ = true;
      error_code ignored;
      acceptor_.close(ignored);
      retry_.cancel();
      for (const auto& connection : connections_) connection->Drain();
    });
    if (WaitForEnd(grace)) return;
    asio::post(io_, [this] {
      for (const auto& connection : connections_) connection->Abort();
    });
    WaitForEnd(std::nullopt);
  }

 private:
  // True once nothing is left; false after `limit`.
  bool WaitForEnd(std::optional<absl::Duration> limit) {
    std::unique_lock<std::mutex> lock(mutex_);
    const auto ended = [this] { return running_ == 0; };
    if (!limit.has_value()) {
      changed_.wait(lock, ended);
      return true;
    }
    return changed_.wait_for(lock, absl::ToChronoMilliseconds(*limit), ended);
  }

  asio::awaitable<void> Accept() {
    while (!stopping_) {
      auto [error, socket] = co_await acceptor_.async_accept(kToken);
      if (stopping_) break;
      if (error) {  // out of file descriptors, say
        retry_.expires_after(std::chrono::milliseconds(100));
        co_await retry_.async_wait(kToken);
        continue;
      }
      CloseOnExec(socket.native_handle());
      if (static_cast<int>(connections_.size()) >= options_.max_connections) {
        TurnAway(std::move(socket));
      } else {
        Serve(std::move(socket));
      }
    }
    Ended();
  }

  void Serve(tcp::socket socket) {
    auto connection = HttpConnection::Create(
        std::move(socket), tls_ == nullptr ? nullptr : tls_->current(),
        &options_, &handler_);
    connections_.insert(connection);
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      ++running_;
    }
    auto run = connection->Run();
    asio::co_spawn(io_, std::move(run),
                   [this, connection](const std::exception_ptr&) {
                     connection->Abort();
                     connections_.erase(connection);
                     Ended();
                   });
  }

  // Says why in as far as that needs no waiting.
  void TurnAway(tcp::socket socket) {
    if (tls_ != nullptr) return;
    HttpResponse response = ErrorResponse(503, "too many connections");
    response.headers.push_back({"Retry-After", "1"});
    const std::string bytes =
        ResponseHead(response, BodyEnd::kLength, false, absl::Now()) +
        response.body;
    error_code ignored;
    socket.non_blocking(true, ignored);
    socket.write_some(asio::buffer(bytes), ignored);
    socket.shutdown(tcp::socket::shutdown_send, ignored);
  }

  void Ended() {
    const std::lock_guard<std::mutex> lock(mutex_);
    --running_;
    changed_.notify_all();
  }

  const HttpServerOptions options_;
  const HttpHandler handler_;
  std::unique_ptr<TlsContexts> tls_;  // null: none
  asio::io_context io_{1};
  asio::executor_work_guard<asio::io_context::executor_type> work_;

  // Of the server's thread.
  tcp::acceptor acceptor_;
  asio::steady_timer retry_;
  std::set<std::shared_ptr<HttpConnection>> connections_;
  bool stopping_ = false;

  std::mutex mutex_;
  std::condition_variable changed_;
  int running_ = 0;  // connections, and what accepts them

  std::string address_;
  std::thread thread_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<HttpServer>> HttpServer::Start(
    const std::string& address, HttpHandler handler,
    const HttpServerOptions& options) {
  auto server = std::make_unique<HttpServerImpl>(std::move(handler), options);
  FACET_RETURN_IF_ERROR(server->Start(address));
  return server;
}

}  // namespace facet
