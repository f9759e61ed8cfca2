// What operators ask a serving process:
//   /metrics  Prometheus text
//   /healthz  200 while it can serve or will, 503 with the reason once it
//             cannot: what restarts it
//   /readyz   200 while it takes requests, 503 with the reason while it does
//             not: what sends clients elsewhere
//   /cluster  who holds what; /doctor how each worker stands, and what is wrong
//   /version  {"version": ..., "build": ...}
// Anything else is answered with 404, other methods than GET and HEAD with 405.
#ifndef FACET_RPC_HTTP_SERVING_ROUTES_H_
#define FACET_RPC_HTTP_SERVING_ROUTES_H_

#include <functional>
#include <string>

#include "absl/status/status.h"
#include "rpc/http/http_exchange.h"

namespace facet {

// The functions run on the server's thread and must not block.
struct ServingRoutesOptions {
  std::function<std::string()> metrics;  // null: 404
  // JSON; null: 404, an empty text: 503, it is not known yet.
  std::function<std::string()> cluster;
  std::function<std::string()> doctor;  // the same
  // Null: always well. UNAVAILABLE: it will be well again by itself, so
  // /healthz tells of it with 200, lest somebody restarts what recovers.
  std::function<absl::Status()> health;
  std::function<absl::Status()> ready;  // asked when healthy; null: always
  // What /healthz says behind its "ok", for people; null or empty: nothing.
  std::function<std::string()> note;
  std::string version;
  std::string build;
};

HttpHandler MakeServingRoutes(ServingRoutesOptions options);

}  // namespace facet

#endif  // FACET_RPC_HTTP_SERVING_ROUTES_H_
