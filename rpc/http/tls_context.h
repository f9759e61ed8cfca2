// TLS of the server's connections. Private to the folder: it shows Asio.
#ifndef FACET_RPC_HTTP_TLS_CONTEXT_H_
#define FACET_RPC_HTTP_TLS_CONTEXT_H_

#include <boost/asio/ssl/context.hpp>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "rpc/access/file_watch.h"
#include "rpc/access/tls_files.h"

namespace facet {

// Takes TLS 1.2 and 1.3, offers HTTP/1.1 alone. Connections share a context.
using TlsContext = boost::asio::ssl::context;

// Thread-safe.
class TlsContexts {
 public:
  // Errors: those of ReadFiles(); INVALID_ARGUMENT, with the path, for what is
  // no certificate or key, and for a key that is not the certificate's.
  // `on_reload` hears of each reload, as DoorKeeperOptions tells.
  static absl::StatusOr<std::unique_ptr<TlsContexts>> Open(
      const TlsFiles& files, absl::Duration reload_interval,
      std::function<void(const absl::Status&)> on_reload);

  // What the next connection is to use.
  std::shared_ptr<TlsContext> current() const;

 private:
  TlsContexts() = default;

  mutable std::mutex mutex_;
  std::shared_ptr<TlsContext> current_;
  std::optional<FileWatch> watch_;  // last: changes the above
};

}  // namespace facet

#endif  // FACET_RPC_HTTP_TLS_CONTEXT_H_
