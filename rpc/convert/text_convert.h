// The border between text_messages.h and rpc/proto/inference.proto. Nothing is
// judged here; the front door does that.
#ifndef FACET_RPC_CONVERT_TEXT_CONVERT_H_
#define FACET_RPC_CONVERT_TEXT_CONVERT_H_

#include "rpc/convert/text_messages.h"
#include "rpc/proto/inference.pb.h"

namespace facet {

v1::GenerateRequest ToProto(const TextRequest& request);
TextRequest FromProto(const v1::GenerateRequest& request);

// The event's status travels as the status of the call; log-probabilities only
// if `logprobs`.
void AppendToProto(const TextEvent& event, bool logprobs,
                   v1::GenerateResponse* response);
TextEvent FromProto(const v1::GenerateResponse& response);

v1::ModelInfoResponse ToProto(const ModelInfo& info);
ModelInfo FromProto(const v1::ModelInfoResponse& info);

}  // namespace facet

#endif  // FACET_RPC_CONVERT_TEXT_CONVERT_H_
