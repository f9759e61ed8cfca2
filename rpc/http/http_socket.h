// A connection's socket, with TLS or without. Private to the folder: it shows
// Asio. What reads and writes need not know which it is.
#ifndef FACET_RPC_HTTP_HTTP_SOCKET_H_
#define FACET_RPC_HTTP_HTTP_SOCKET_H_

#include <boost/asio/async_result.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <memory>
#include <optional>
#include <utility>

#include "rpc/http/tls_context.h"

namespace facet {

// An AsyncStream, as Asio and Beast call it. One read and one write at a time.
class HttpSocket {
 public:
  using Tcp = boost::asio::ip::tcp::socket;
  using executor_type = Tcp::executor_type;
  using Signature = void(boost::system::error_code, size_t);

  // `tls` null: none.
  HttpSocket(Tcp socket, std::shared_ptr<TlsContext> tls)
      : socket_(std::move(socket)), context_(std::move(tls)) {
    if (context_ != nullptr) tls_.emplace(socket_, *context_);
  }

  executor_type get_executor() { return socket_.get_executor(); }
  Tcp& tcp() { return socket_; }
  bool has_tls() const { return tls_.has_value(); }

  template <class Token>
  auto async_handshake(Token&& token) {
    return tls_->async_handshake(boost::asio::ssl::stream_base::server,
                                 std::forward<Token>(token));
  }
  // Says that nothing more comes, and waits for the peer to say so.
  template <class Token>
  auto async_shutdown(Token&& token) {
    return tls_->async_shutdown(std::forward<Token>(token));
  }

  template <class Buffers, class Token>
  auto async_read_some(const Buffers& buffers, Token&& token) {
    return boost::asio::async_initiate<Token, Signature>(
        [this](auto handler, const Buffers& into) {
          if (tls_.has_value()) {
            tls_->async_read_some(into, std::move(handler));
          } else {
            socket_.async_read_some(into, std::move(handler));
          }
        },
        token, buffers);
  }

  template <class Buffers, class Token>
  auto async_write_some(const Buffers& buffers, Token&& token) {
    return boost::asio::async_initiate<Token, Signature>(
        [this](auto handler, const Buffers& from) {
          if (tls_.has_value()) {
            tls_->async_write_some(from, std::move(handler));
          } else {
            socket_.async_write_some(from, std::move(handler));
          }
        },
        token, buffers);
  }

 private:
  Tcp socket_;
  std::shared_ptr<TlsContext> context_;
  std::optional<boost::asio::ssl::stream<Tcp&>> tls_;
};

}  // namespace facet

#endif  // FACET_RPC_HTTP_HTTP_SOCKET_H_
