// The certificates a server shows, as files. They may be replaced while it
// runs: new connections then use the new ones, old ones go on.
#ifndef FACET_RPC_ACCESS_TLS_FILES_H_
#define FACET_RPC_ACCESS_TLS_FILES_H_

#include <string>

namespace facet {

struct TlsFiles {
  std::string certificate;  // PEM, the server's own first; empty: no TLS
  std::string key;          // PEM
  // PEM of the authorities whose clients may connect; empty: anybody may.
  std::string client_ca;

  bool used() const { return !certificate.empty(); }
};

}  // namespace facet

#endif  // FACET_RPC_ACCESS_TLS_FILES_H_
