// Answers of /v1/responses, whole and streamed: a response object whose output
// is a list of items (thoughts, a message, calls), and the events by which a
// stream builds the very same object.
#ifndef FACET_RPC_OPENAI_RESPONSES_ANSWER_H_
#define FACET_RPC_OPENAI_RESPONSES_ANSWER_H_

#include <memory>
#include <string>

#include "rpc/openai/generation.h"
#include "rpc/openai/responses_request.h"

namespace facet {

// See MakeChatAnswer().
std::unique_ptr<AnswerWriter> MakeResponsesAnswer(
    std::shared_ptr<ApiCall> call, const ResponsesRequest& request,
    const GenerateRequest& prepared, const std::string& model,
    const Tokenizer* tokenizer);

}  // namespace facet

#endif  // FACET_RPC_OPENAI_RESPONSES_ANSWER_H_
