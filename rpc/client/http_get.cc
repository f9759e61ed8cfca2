#include "rpc/client/http_get.h"

#include <netdb.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <memory>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "rpc/control/listen_address.h"

namespace facet {
namespace {

// Metrics and pictures of clusters are far smaller.
constexpr size_t kMaxBytes = size_t{64} << 20;

using Addresses = std::unique_ptr<addrinfo, decltype(&freeaddrinfo)>;
using Context = std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)>;
using Session = std::unique_ptr<SSL, decltype(&SSL_free)>;

class Socket {
 public:
  explicit Socket(int fd) : fd_(fd) {}
  Socket(Socket&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  ~Socket() {
    if (fd_ >= 0) close(fd_);
  }
  int fd() const { return fd_; }

 private:
  int fd_;
};

absl::StatusOr<Socket> Connect(const std::string& address,
                               const HostPort& parsed, absl::Duration timeout) {
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* list = nullptr;
  const int found = getaddrinfo(
      parsed.host.c_str(), absl::StrCat(parsed.port).c_str(), &hints, &list);
  const Addresses addresses(list, &freeaddrinfo);
  if (found != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("address ", address, ": ", gai_strerror(found)));
  }
  const timeval limit = absl::ToTimeval(timeout);
  int error = 0;
  for (const addrinfo* one = list; one != nullptr; one = one->ai_next) {
    Socket socket(::socket(one->ai_family, one->ai_socktype | SOCK_CLOEXEC, 0));
    if (socket.fd() < 0) continue;
    setsockopt(socket.fd(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    setsockopt(socket.fd(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    if (connect(socket.fd(), one->ai_addr, one->ai_addrlen) == 0) return socket;
    error = errno;
  }
  return absl::UnavailableError(absl::StrCat("no server answers at ", address,
                                             ": ", std::strerror(error)));
}

absl::Status Unusable(const std::string& path) {
  return absl::InvalidArgumentError(absl::StrCat(path, ": cannot be used"));
}

absl::StatusOr<Context> MakeContext(const ClientCredentials& credentials) {
  Context context(SSL_CTX_new(TLS_client_method()), &SSL_CTX_free);
  SSL_CTX* const raw = context.get();
  SSL_CTX_set_min_proto_version(raw, TLS1_2_VERSION);
  SSL_CTX_set_verify(raw, SSL_VERIFY_PEER, nullptr);
  if (SSL_CTX_load_verify_locations(raw, credentials.server_ca.c_str(),
                                    nullptr) != 1) {
    return Unusable(credentials.server_ca);
  }
  if (credentials.certificate.empty()) return context;
  if (SSL_CTX_use_certificate_chain_file(
          raw, credentials.certificate.c_str()) != 1) {
    return Unusable(credentials.certificate);
  }
  if (SSL_CTX_use_PrivateKey_file(raw, credentials.key.c_str(),
                                  SSL_FILETYPE_PEM) != 1 ||
      SSL_CTX_check_private_key(raw) != 1) {
    return Unusable(credentials.key);
  }
  return context;
}

// The server has to be who its address says.
void ExpectHost(SSL* session, const std::string& host) {
  X509_VERIFY_PARAM* const parameters = SSL_get0_param(session);
  if (X509_VERIFY_PARAM_set1_ip_asc(parameters, host.c_str()) == 1) return;
  SSL_set_tlsext_host_name(session, host.c_str());
  SSL_set1_host(session, host.c_str());
}

// A connection with TLS or without.
class Wire {
 public:
  Wire(Socket socket, Context context)
      : socket_(std::move(socket)),
        context_(std::move(context)),
        session_(context_ == nullptr ? nullptr : SSL_new(context_.get()),
                 &SSL_free) {}

  absl::Status Greet(const std::string& address, const std::string& host) {
    if (session_ == nullptr) return absl::OkStatus();
    ExpectHost(session_.get(), host);
    SSL_set_fd(session_.get(), socket_.fd());
    if (SSL_connect(session_.get()) == 1) return absl::OkStatus();
    const long verified = SSL_get_verify_result(session_.get());
    return absl::UnavailableError(absl::StrCat(
        address, ": no TLS connection: ",
        verified == X509_V_OK ? "the server refuses, or speaks none"
                              : X509_verify_cert_error_string(verified)));
  }

  bool Send(const std::string& bytes) {
    size_t sent = 0;
    while (sent < bytes.size()) {
      const char* const from = bytes.data() + sent;
      const size_t left = bytes.size() - sent;
      const ssize_t count =
          session_ != nullptr
              ? SSL_write(session_.get(), from, static_cast<int>(left))
              : send(socket_.fd(), from, left, MSG_NOSIGNAL);
      if (count <= 0) return false;
      sent += static_cast<size_t>(count);
    }
    return true;
  }

  // Up to the peer's end; false: it did not come, or there is too much.
  bool ReceiveAll(std::string* bytes) {
    char buffer[16384];
    for (;;) {
      const ssize_t count =
          session_ != nullptr ? SSL_read(session_.get(), buffer, sizeof(buffer))
                              : recv(socket_.fd(), buffer, sizeof(buffer), 0);
      if (count <= 0) {
        return session_ != nullptr ? SSL_get_shutdown(session_.get()) != 0
                                   : count == 0;
      }
      bytes->append(buffer, static_cast<size_t>(count));
      if (bytes->size() > kMaxBytes) return false;
    }
  }

 private:
  Socket socket_;
  Context context_;
  Session session_;
};

absl::StatusOr<std::string> BodyOf(const std::string& answer) {
  const size_t end = answer.find("\r\n\r\n");
  int code = 0;
  if (end == std::string::npos || !absl::StartsWith(answer, "HTTP/1.") ||
      !absl::SimpleAtoi(answer.substr(9, 3), &code)) {
    return absl::UnavailableError("what answers there is no HTTP server");
  }
  std::string body = answer.substr(end + 4);
  if (code / 100 == 2) return body;
  const std::string said = absl::StrCat(code, ": ", body.substr(0, 300));
  if (code == 401) return absl::UnauthenticatedError(said);
  if (code == 503) return absl::UnavailableError(said);
  return absl::UnknownError(said);
}

}  // namespace

absl::StatusOr<std::string> HttpGet(const std::string& address,
                                    const std::string& path,
                                    const ClientCredentials& credentials,
                                    absl::Duration timeout) {
  FACET_ASSIGN_OR_RETURN(const HostPort parsed, ParseHostPort(address));
  Context context(nullptr, &SSL_CTX_free);
  if (!credentials.server_ca.empty()) {
    std::signal(SIGPIPE, SIG_IGN);  // OpenSSL writes without MSG_NOSIGNAL
    FACET_ASSIGN_OR_RETURN(context, MakeContext(credentials));
  }
  FACET_ASSIGN_OR_RETURN(Socket socket, Connect(address, parsed, timeout));
  Wire wire(std::move(socket), std::move(context));
  FACET_RETURN_IF_ERROR(wire.Greet(address, parsed.host));
  std::string request =
      absl::StrCat("GET ", path, " HTTP/1.1\r\nHost: ", address,
                   "\r\nConnection: close\r\n");
  if (!credentials.api_key.empty()) {
    absl::StrAppend(&request, "Authorization: Bearer ", credentials.api_key,
                    "\r\n");
  }
  std::string answer;
  if (!wire.Send(request + "\r\n") || !wire.ReceiveAll(&answer)) {
    return absl::UnavailableError(
        absl::StrCat(address, ": the connection broke off"));
  }
  return BodyOf(answer);
}

absl::Status HttpPost(const std::string& address, const std::string& path,
                      const std::string& content_type, const std::string& body,
                      absl::Duration timeout) {
  FACET_ASSIGN_OR_RETURN(const HostPort parsed, ParseHostPort(address));
  FACET_ASSIGN_OR_RETURN(Socket socket, Connect(address, parsed, timeout));
  Wire wire(std::move(socket), Context(nullptr, &SSL_CTX_free));
  std::string answer;
  if (!wire.Send(absl::StrCat(
          "POST ", path, " HTTP/1.1\r\nHost: ", address,
          "\r\nConnection: close\r\nContent-Type: ", content_type,
          "\r\nContent-Length: ", body.size(), "\r\n\r\n", body)) ||
      !wire.ReceiveAll(&answer)) {
    return absl::UnavailableError(
        absl::StrCat(address, ": the connection broke off"));
  }
  return BodyOf(answer).status();
}

}  // namespace facet
