#include "rpc/cli/server_flags.h"

#include <cstdlib>

#include "absl/strings/ascii.h"
#include "kernels/base/status_macros.h"
#include "rpc/cli/input_files.h"

namespace facet {

void AddServerFlags(CLI::App* app, ServerFlags* flags) {
  app->add_option("--server", flags->server,
                  "HOST:PORT of a `facet serve` to ask, in place of --model");
  app->add_option("--api-key-file", flags->api_key_file,
                  "File with the key that server wants; absent: what "
                  "FACET_API_KEY says");
  app->add_option("--server-ca", flags->credentials.server_ca,
                  "Authorities in PEM to believe: asks the server over TLS");
  app->add_option("--client-cert", flags->credentials.certificate,
                  "Certificate in PEM to show to that server");
  app->add_option("--client-key", flags->credentials.key,
                  "Its private key in PEM");
}

absl::StatusOr<std::string> ApiKeyOf(const ServerFlags& flags) {
  if (flags.api_key_file.empty()) {
    const char* const key = std::getenv("FACET_API_KEY");
    return std::string(key == nullptr ? "" : key);
  }
  FACET_ASSIGN_OR_RETURN(const std::string text, ReadInput(flags.api_key_file));
  return std::string(
      absl::StripAsciiWhitespace(text.substr(0, text.find('\n'))));
}

absl::StatusOr<std::unique_ptr<Client>> Connect(const ServerFlags& flags) {
  ClientCredentials credentials = flags.credentials;
  FACET_ASSIGN_OR_RETURN(credentials.api_key, ApiKeyOf(flags));
  return ConnectToServer(flags.server, absl::Seconds(10), credentials);
}

}  // namespace facet
