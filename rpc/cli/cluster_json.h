// What a cluster looks like, for the page and `facet top`: who holds what.
#ifndef FACET_RPC_CLI_CLUSTER_JSON_H_
#define FACET_RPC_CLI_CLUSTER_JSON_H_

#include <string>

#include "rpc/convert/text_messages.h"
#include "rpc/coordinator/cluster.h"

namespace facet {

// {"model", "layers", "context_tokens", "vocab_size", "pp", "tp", "ep",
//  "page_tokens", "kv_tokens": {"sliding", "global"},
//  "ranks": [{"rank", "stage", "tp_rank", "first_layer", "last_layer",
//             "weight_bytes", "kv_bytes"}, ...]}
std::string ClusterJson(Cluster& cluster, const ModelInfo& info,
                        const NumericsOptions& numerics);

}  // namespace facet

#endif  // FACET_RPC_CLI_CLUSTER_JSON_H_
