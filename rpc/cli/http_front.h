// What HTTP clients meet: the API, the page, metrics and probes behind one
// server. It listens from the start, so that probes tell a process that loads
// from one that hangs.
#ifndef FACET_RPC_CLI_HTTP_FRONT_H_
#define FACET_RPC_CLI_HTTP_FRONT_H_

#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "rpc/access/access_log.h"
#include "rpc/access/door_keeper.h"
#include "rpc/cli/embedded_model.h"
#include "rpc/control/condition_slot.h"
#include "rpc/http/http_server.h"
#include "rpc/openai/gateway.h"
#include "runtime/plan/numerics.h"

namespace facet {

struct HttpFrontOptions {
  std::string address;  // HOST:PORT
  HttpServerOptions server;
  // Its keeper guards every path but the page, /healthz and /readyz.
  GatewayOptions gateway;
  bool open_metrics = false;  // /metrics needs no key either
  NumericsOptions numerics;
  // Tells of workers that are waited for; null: nobody does.
  const ConditionSlot* forming = nullptr;
  // Whether it is time to send nobody here any more.
  std::function<bool()> stopping;
};

class HttpFront {
 public:
  // `log` outlives the front. Errors: those of HttpServer::Start().
  static absl::StatusOr<std::unique_ptr<HttpFront>> Start(
      const HttpFrontOptions& options, AccessLog* log);
  // Ends without grace. The model lives on until then.
  virtual ~HttpFront() = default;

  // From now on, requests reach `model`, which outlives the front.
  virtual void Serve(EmbeddedModel* model) = 0;
  virtual void Shutdown(absl::Duration grace) = 0;
  virtual std::string address() const = 0;
};

// Not OK once the model cannot run any more.
absl::Status HealthOf(EmbeddedModel& model);

}  // namespace facet

#endif  // FACET_RPC_CLI_HTTP_FRONT_H_
