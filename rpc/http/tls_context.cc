#include "rpc/http/tls_context.h"

#include <openssl/ssl.h>

#include <boost/asio/buffer.hpp>
#include <boost/system/error_code.hpp>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"

namespace facet {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;

constexpr unsigned char kHttp11[] = "\x08http/1.1";

// Takes HTTP/1.1 where the client offers protocols at all.
int ChooseProtocol(SSL*, const unsigned char** chosen, unsigned char* length,
                   const unsigned char* offered, unsigned int offered_length,
                   void*) {
  unsigned char* found = nullptr;
  if (SSL_select_next_proto(&found, length, kHttp11, sizeof(kHttp11) - 1,
                            offered,
                            offered_length) != OPENSSL_NPN_NEGOTIATED) {
    return SSL_TLSEXT_ERR_ALERT_FATAL;
  }
  *chosen = found;
  return SSL_TLSEXT_ERR_OK;
}

absl::Status Wrong(const std::string& path, const error_code& error) {
  return absl::InvalidArgumentError(absl::StrCat(path, ": ", error.message()));
}

std::vector<std::string> PathsOf(const TlsFiles& files) {
  std::vector<std::string> paths = {files.certificate, files.key};
  if (!files.client_ca.empty()) paths.push_back(files.client_ca);
  return paths;
}

// `contents` as PathsOf() orders them.
absl::StatusOr<std::shared_ptr<TlsContext>> MakeContext(
    const TlsFiles& files, const std::vector<std::string>& contents) {
  auto context = std::make_shared<TlsContext>(TlsContext::tls_server);
  error_code error;
  context->set_options(TlsContext::default_workarounds | TlsContext::no_sslv2 |
                           TlsContext::no_sslv3 | TlsContext::no_tlsv1 |
                           TlsContext::no_tlsv1_1,
                       error);
  if (error) return Wrong(files.certificate, error);
  context->use_certificate_chain(asio::buffer(contents[0]), error);
  if (error) return Wrong(files.certificate, error);
  context->use_private_key(asio::buffer(contents[1]), TlsContext::pem, error);
  if (error) return Wrong(files.key, error);
  SSL_CTX* const native = context->native_handle();
  if (SSL_CTX_check_private_key(native) != 1) {
    return absl::InvalidArgumentError(absl::StrCat(
        files.key, ": not the key of the certificate ", files.certificate));
  }
  if (contents.size() > 2) {
    context->add_certificate_authority(asio::buffer(contents[2]), error);
    if (error) return Wrong(files.client_ca, error);
    context->set_verify_mode(
        asio::ssl::verify_peer | asio::ssl::verify_fail_if_no_peer_cert, error);
    if (error) return Wrong(files.client_ca, error);
  }
  SSL_CTX_set_alpn_select_cb(native, ChooseProtocol, nullptr);
  // Buffers of idle connections go back.
  SSL_CTX_set_mode(native, SSL_MODE_RELEASE_BUFFERS);
  return context;
}

}  // namespace

absl::StatusOr<std::unique_ptr<TlsContexts>> TlsContexts::Open(
    const TlsFiles& files, absl::Duration reload_interval,
    std::function<void(const absl::Status&)> on_reload) {
  const std::vector<std::string> paths = PathsOf(files);
  FACET_ASSIGN_OR_RETURN(std::vector<std::string> contents, ReadFiles(paths));
  std::unique_ptr<TlsContexts> contexts(new TlsContexts());
  FACET_ASSIGN_OR_RETURN(contexts->current_, MakeContext(files, contents));
  contexts->watch_.emplace(
      paths, std::move(contents), reload_interval,
      [all = contexts.get(), files,
       on_reload = std::move(on_reload)](const std::vector<std::string>& now) {
        auto made = MakeContext(files, now);
        if (made.ok()) {
          const std::lock_guard<std::mutex> lock(all->mutex_);
          all->current_ = *std::move(made);
        }
        if (on_reload) on_reload(made.status());
      });
  return contexts;
}

std::shared_ptr<TlsContext> TlsContexts::current() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return current_;
}

}  // namespace facet
