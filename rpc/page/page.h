// The page at "/": cluster, figures and a chat, for whoever opens the server's
// address in a browser. It has no data of its own: it asks /cluster, /metrics
// and the API, with the key its user gives, and nobody but this server.
#ifndef FACET_RPC_PAGE_PAGE_H_
#define FACET_RPC_PAGE_PAGE_H_

#include <optional>

#include "rpc/http/http_message.h"

namespace facet {

// The answer to a request for a part of the page; none: it is not one.
std::optional<HttpResponse> PageResponse(const HttpRequest& request);

}  // namespace facet

#endif  // FACET_RPC_PAGE_PAGE_H_
