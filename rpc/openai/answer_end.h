// How answers of chat completions and of text completions end: both the same
// way but for what stands in them.
#ifndef FACET_RPC_OPENAI_ANSWER_END_H_
#define FACET_RPC_OPENAI_ANSWER_END_H_

#include <functional>

#include "absl/status/status.h"
#include "rpc/openai/answer_json.h"
#include "rpc/openai/api_call.h"
#include "rpc/openai/api_json.h"
#include "rpc/openai/generation_fields.h"

namespace facet {

// Notes `usage`, then ends the call: a stream with the chunk of `head` that has
// usage and times, if they were asked for; else with `whole()`.
void EndAnswer(const GenerationFields& fields, const CallUsage& usage,
               ApiJson head, const std::function<ApiJson()>& whole,
               ApiCall* call);

// An error instead of the answer, or behind the part that was streamed.
void FailAnswer(bool stream, const absl::Status& status, ApiCall* call);

}  // namespace facet

#endif  // FACET_RPC_OPENAI_ANSWER_END_H_
