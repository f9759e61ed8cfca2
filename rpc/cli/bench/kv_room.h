// How much K/V memory a measurement takes.
#ifndef FACET_RPC_CLI_BENCH_KV_ROOM_H_
#define FACET_RPC_CLI_BENCH_KV_ROOM_H_

#include <cstdint>

#include "rpc/coordinator/cluster.h"
#include "runtime/config/model_config.h"

namespace facet {

// Bytes that each worker of a cluster needs to hold `positions` tokens, over
// all sequences, whatever share of the budget each pool gets. 0 for a plan that
// cannot be made; Cluster::Start() says why.
int64_t KvBytesForPositions(const ModelConfig& model,
                            const ClusterOptions& cluster, int64_t positions);

}  // namespace facet

#endif  // FACET_RPC_CLI_BENCH_KV_ROOM_H_
