// A small HTTP/1.1 server: one thread, however many connections; every size and
// every wait is bounded. It knows no route: what a request means is its
// handler's business.
//
// Keeps connections alive, takes pipelined requests one after another, chunked
// bodies and Expect: 100-continue. Answers what is wrong with a request (400,
// 408, 413, 431, 505) by itself. TLS where certificates are given. No
// compression, no HTTP/2.
#ifndef FACET_RPC_HTTP_HTTP_SERVER_H_
#define FACET_RPC_HTTP_HTTP_SERVER_H_

#include <cstddef>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "rpc/access/tls_files.h"
#include "rpc/http/http_exchange.h"

namespace facet {

struct HttpServerOptions {
  size_t max_header_bytes = size_t{16} << 10;  // more: 431
  size_t max_body_bytes = size_t{1} << 20;     // more: 413
  // Of a stream, while its client does not read; more cuts the connection.
  size_t max_buffered_bytes = size_t{1} << 20;
  int max_connections = 1024;  // more: 503

  absl::Duration idle_timeout = absl::Seconds(60);    // between requests
  absl::Duration header_timeout = absl::Seconds(10);  // for all of a header
  absl::Duration body_timeout = absl::Seconds(30);    // for all of a body
  absl::Duration write_timeout = absl::Seconds(30);   // without any progress

  TlsFiles tls;
  absl::Duration tls_reload_interval = absl::Seconds(1);
  // Hears of new certificates: OK, or why the old ones are still in use. Runs
  // on a thread of its own.
  std::function<void(const absl::Status&)> on_tls_reload;
};

class HttpServer {
 public:
  // Listens on `address`, HOST:PORT, where port 0 takes any free one.
  //
  // Errors: INVALID_ARGUMENT for a malformed or unknown host; UNAVAILABLE with
  // the address and the system's reason when it cannot be listened on; those of
  // unusable certificates, with the path.
  static absl::StatusOr<std::unique_ptr<HttpServer>> Start(
      const std::string& address, HttpHandler handler,
      const HttpServerOptions& options);

  // Shuts down without grace.
  virtual ~HttpServer() = default;

  // "HOST:PORT" as it is.
  virtual std::string address() const = 0;

  // Takes no more connections, closes idle ones, lets the answers under way
  // end, then returns; those that have not ended after `grace` are cut, and
  // their handlers told that the client is gone. Not from a handler.
  virtual void Shutdown(absl::Duration grace) = 0;
};

}  // namespace facet

#endif  // FACET_RPC_HTTP_HTTP_SERVER_H_
