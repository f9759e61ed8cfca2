// The messages of a device through the host's memory, by a communicator of the
// host's: exact, everywhere, and as fast as the way to the device and back.
#ifndef FACET_RUNTIME_COMM_STAGED_COMMUNICATOR_H_
#define FACET_RUNTIME_COMM_STAGED_COMMUNICATOR_H_

#include <memory>

#include "kernels/backend/backend.h"
#include "runtime/comm/communicator.h"

namespace facet {

// Takes and fills memory of `backend`, whose operations are ordered with the
// messages. Both outlive it. Errors: those of `host`, and the backend's.
std::unique_ptr<Communicator> MakeStagedCommunicator(Communicator* host,
                                                     Backend* backend);

}  // namespace facet

#endif  // FACET_RUNTIME_COMM_STAGED_COMMUNICATOR_H_
