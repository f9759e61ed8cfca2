// A model to ask, wherever it runs: behind a gRPC address, or in this process.
#ifndef FACET_RPC_CLIENT_CLIENT_H_
#define FACET_RPC_CLIENT_CLIENT_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "rpc/convert/text_messages.h"

namespace facet {

class Client {
 public:
  // An event of request `index`. False ends that request with kCancelled. One
  // call at a time, from any thread.
  using OnEvent = std::function<bool(size_t index, const TextEvent& event)>;

  virtual ~Client() = default;

  // Runs all requests side by side and returns when each has had its last
  // event. Returns the first error, after cancelling the rest.
  virtual absl::Status Generate(const std::vector<TextRequest>& requests,
                                const OnEvent& on_event) = 0;

  virtual absl::StatusOr<ModelInfo> Info() = 0;
};

// What a guarded server wants to see.
struct ClientCredentials {
  std::string api_key;  // empty: none
  // Files in PEM. With `server_ca`, the authorities to believe, the connection
  // uses TLS; the other two are what a server with mutual TLS asks for.
  std::string server_ca;
  std::string certificate;
  std::string key;
};

// Waits up to `timeout` for a server at HOST:PORT. Errors: INVALID_ARGUMENT for
// an address that is none, those of ReadFiles() for the credentials,
// UNAVAILABLE when nobody answers.
absl::StatusOr<std::unique_ptr<Client>> ConnectToServer(
    const std::string& address, absl::Duration timeout,
    const ClientCredentials& credentials = ClientCredentials());

}  // namespace facet

#endif  // FACET_RPC_CLIENT_CLIENT_H_
