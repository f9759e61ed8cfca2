// One request to an HTTP address, for verbs that look at a server and for what
// a server reports elsewhere.
#ifndef FACET_RPC_CLIENT_HTTP_GET_H_
#define FACET_RPC_CLIENT_HTTP_GET_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "rpc/client/client.h"

namespace facet {

// The body of a 200 answer to GET `path` at HOST:PORT, over TLS where
// `credentials` have a server_ca. Opens a connection and closes it.
//
// Errors: INVALID_ARGUMENT for an address that is none; UNAVAILABLE when nobody
// answers, or not within `timeout` for each part of it; UNAUTHENTICATED for
// 401; UNKNOWN with what the server says for other answers.
absl::StatusOr<std::string> HttpGet(const std::string& address,
                                    const std::string& path,
                                    const ClientCredentials& credentials,
                                    absl::Duration timeout);

// The same for POST of a body without TLS; any 2xx will do, and what it says is
// left unread.
absl::Status HttpPost(const std::string& address, const std::string& path,
                      const std::string& content_type, const std::string& body,
                      absl::Duration timeout);

}  // namespace facet

#endif  // FACET_RPC_CLIENT_HTTP_GET_H_
