// One connection of the HTTP server. Private to the folder: it shows Asio.
// Everything here runs on the server's thread.
#ifndef FACET_RPC_HTTP_HTTP_CONNECTION_H_
#define FACET_RPC_HTTP_HTTP_CONNECTION_H_

#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <memory>

#include "rpc/http/http_exchange.h"
#include "rpc/http/http_server.h"
#include "rpc/http/tls_context.h"

namespace facet {

class HttpConnection {
 public:
  // With TLS unless `tls` is null. `options` and `handler` outlive it.
  static std::shared_ptr<HttpConnection> Create(
      boost::asio::ip::tcp::socket socket, std::shared_ptr<TlsContext> tls,
      const HttpServerOptions* options, const HttpHandler* handler);
  virtual ~HttpConnection() = default;

  // Serves requests until the connection ends; call it once. The caller keeps
  // the connection until then.
  virtual boost::asio::awaitable<void> Run() = 0;

  // Ends when the answer under way has ended; at once if there is none.
  virtual void Drain() = 0;

  // Ends now.
  virtual void Abort() = 0;
};

}  // namespace facet

#endif  // FACET_RPC_HTTP_HTTP_CONNECTION_H_
