#include "rpc/control/trust.h"

#include <grpcpp/security/credentials.h>
#include <grpcpp/security/server_credentials.h>

#include <fstream>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"

namespace facet {
namespace {

struct Pems {
  std::string authority;
  std::string certificate;
  std::string key;
};

absl::StatusOr<std::string> ReadPem(const char* what, const std::string& path) {
  if (path.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("TLS needs an authority, a certificate and a key; the ",
                     what, " is missing"));
  }
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  if (!file || text.str().empty()) {
    return absl::NotFoundError(
        absl::StrCat(path, ": the ", what, " cannot be read"));
  }
  return text.str();
}

absl::StatusOr<Pems> ReadPems(const TrustFiles& files) {
  Pems pems;
  FACET_ASSIGN_OR_RETURN(pems.authority,
                         ReadPem("authority's certificate", files.authority));
  FACET_ASSIGN_OR_RETURN(pems.certificate,
                         ReadPem("certificate", files.certificate));
  FACET_ASSIGN_OR_RETURN(pems.key, ReadPem("key", files.key));
  return pems;
}

}  // namespace

absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> CoordinatorCredentials(
    const TrustFiles& files) {
  if (files.empty()) return grpc::InsecureServerCredentials();
  FACET_ASSIGN_OR_RETURN(const Pems pems, ReadPems(files));
  grpc::SslServerCredentialsOptions options(
      GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  options.pem_root_certs = pems.authority;
  options.pem_key_cert_pairs.push_back({pems.key, pems.certificate});
  return grpc::SslServerCredentials(options);
}

absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> WorkerCredentials(
    const TrustFiles& files) {
  if (files.empty()) return grpc::InsecureChannelCredentials();
  FACET_ASSIGN_OR_RETURN(const Pems pems, ReadPems(files));
  grpc::SslCredentialsOptions options;
  options.pem_root_certs = pems.authority;
  options.pem_private_key = pems.key;
  options.pem_cert_chain = pems.certificate;
  return grpc::SslCredentials(options);
}

}  // namespace facet
