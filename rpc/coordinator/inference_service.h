// The gRPC service of rpc/proto/inference.proto over a FrontDoor.
#ifndef FACET_RPC_COORDINATOR_INFERENCE_SERVICE_H_
#define FACET_RPC_COORDINATOR_INFERENCE_SERVICE_H_

#include <grpcpp/impl/service_type.h>

#include <cstddef>
#include <memory>

#include "rpc/access/access_log.h"
#include "rpc/access/door_keeper.h"
#include "rpc/coordinator/front_door.h"
#include "rpc/coordinator/request_ledger.h"
#include "rpc/trace/span_exporter.h"

namespace facet {

struct InferenceServiceOptions {
  // Of an answer that its client has not read: more ends the request, so one
  // slow reader costs bounded memory and delays nobody.
  size_t max_unread_bytes = size_t{1} << 20;
  // Asked about every call; null: everybody may. Outlives the service.
  DoorKeeper* keeper = nullptr;
  // Get the spans and the lines of Generate and Chat; null: nobody does. Outlive
  // it too.
  SpanSink* spans = nullptr;
  AccessLog* log = nullptr;
  // Runs requests that have a key; null: keys have no effect. Outlives the
  // service.
  RequestLedger* ledger = nullptr;
};

// `front_door` outlives the service. Every stream ends by its last event, so
// drain the engine before the server is shut down.
std::unique_ptr<grpc::Service> MakeInferenceService(
    const FrontDoor* front_door, const InferenceServiceOptions& options);

}  // namespace facet

#endif  // FACET_RPC_COORDINATOR_INFERENCE_SERVICE_H_
