// Flags of verbs that ask a server in place of a model of their own.
#ifndef FACET_RPC_CLI_SERVER_FLAGS_H_
#define FACET_RPC_CLI_SERVER_FLAGS_H_

#include <CLI/CLI.hpp>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "rpc/client/client.h"

namespace facet {

struct ServerFlags {
  std::string server;  // HOST:PORT
  std::string api_key_file;
  ClientCredentials credentials;  // but its key
};

void AddServerFlags(CLI::App* app, ServerFlags* flags);

// The key is the first line of its file, or else FACET_API_KEY.
//
// Errors: those of ConnectToServer(), and of the file.
absl::StatusOr<std::unique_ptr<Client>> Connect(const ServerFlags& flags);

// That key alone; empty: none.
absl::StatusOr<std::string> ApiKeyOf(const ServerFlags& flags);

}  // namespace facet

#endif  // FACET_RPC_CLI_SERVER_FLAGS_H_
