// The OpenAI API over HTTP: /v1/chat/completions, /v1/completions,
// /v1/responses, /v1/models, /tokenize and /detokenize. docs/openai.md says
// what becomes of each field.
//
// Requests are read and prepared on threads of the gateway, run through the
// front door like any other, and their answers are written on further threads:
// neither the server's nor the engine's thread does more than hand over.
#ifndef FACET_RPC_OPENAI_GATEWAY_H_
#define FACET_RPC_OPENAI_GATEWAY_H_

#include <memory>
#include <string>
#include <vector>

#include "rpc/access/access_log.h"
#include "rpc/access/door_keeper.h"
#include "rpc/coordinator/front_door.h"
#include "rpc/coordinator/request_ledger.h"
#include "rpc/http/http_exchange.h"
#include "rpc/trace/span_exporter.h"

namespace facet {

struct GatewayOptions {
  // Asked about every request; null: everybody may. Outlives the gateway.
  DoorKeeper* keeper = nullptr;
  // Names the model answers to; empty: its directory's.
  std::vector<std::string> model_names;
  // Origins whose pages may read answers (CORS), "*" for any; empty: none.
  std::vector<std::string> allowed_origins;
  // Gets the spans of calls; null: nobody does. Outlives the gateway.
  SpanSink* spans = nullptr;
  int prepare_threads = 2;
  int answer_threads = 2;
};

// Safe from several threads.
class Gateway {
 public:
  // `log` outlives the gateway.
  static std::unique_ptr<Gateway> Create(const GatewayOptions& options,
                                         AccessLog* log);

  // Finishes what its threads have begun. The server whose handler uses the
  // gateway is gone by then, the engine behind the front door is not.
  virtual ~Gateway() = default;

  // From now on requests are served; before, they are answered with 503.
  // Without a ledger, keys have no effect. Both outlive the gateway and what it
  // submitted.
  virtual void Serve(const FrontDoor* front_door,
                     RequestLedger* ledger = nullptr) = 0;

  // Answers, now or later, what is the gateway's; false leaves the exchange to
  // the caller.
  virtual bool Handle(const std::shared_ptr<HttpExchange>& exchange) = 0;
};

}  // namespace facet

#endif  // FACET_RPC_OPENAI_GATEWAY_H_
