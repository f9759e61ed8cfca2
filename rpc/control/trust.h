// Who may speak on the control plane: certificates of one cluster's authority,
// checked by both sides before a byte of a message is read.
#ifndef FACET_RPC_CONTROL_TRUST_H_
#define FACET_RPC_CONTROL_TRUST_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace grpc {
class ChannelCredentials;
class ServerCredentials;
}  // namespace grpc

namespace facet {

// PEM files; deploy/certificates/make_certificates.sh makes them. All three or
// none.
struct TrustFiles {
  std::string authority;    // the cluster's, which signed both sides
  std::string certificate;  // one's own
  std::string key;

  bool empty() const {
    return authority.empty() && certificate.empty() && key.empty();
  }
};

// The name in the coordinator's certificate, whatever its address is.
inline constexpr char kCoordinatorName[] = "facet-coordinator";

// Of the coordinator: every worker must show a certificate of the authority.
// With no files, nothing is checked and nothing encrypted.
//
// Errors: INVALID_ARGUMENT when only some files are given; NOT_FOUND naming one
// that cannot be read.
absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> CoordinatorCredentials(
    const TrustFiles& files);

// Of a worker: the coordinator must show the authority's certificate for
// kCoordinatorName. Errors: as above.
absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> WorkerCredentials(
    const TrustFiles& files);

}  // namespace facet

#endif  // FACET_RPC_CONTROL_TRUST_H_
