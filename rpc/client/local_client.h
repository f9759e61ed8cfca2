// A Client of a model in this process.
#ifndef FACET_RPC_CLIENT_LOCAL_CLIENT_H_
#define FACET_RPC_CLIENT_LOCAL_CLIENT_H_

#include <memory>

#include "rpc/client/client.h"
#include "rpc/coordinator/front_door.h"

namespace facet {

// `front_door` outlives the client. Its engine's queue has to hold all requests
// of one call.
std::unique_ptr<Client> MakeLocalClient(const FrontDoor* front_door);

}  // namespace facet

#endif  // FACET_RPC_CLIENT_LOCAL_CLIENT_H_
