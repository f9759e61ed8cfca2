// Answers of /v1/completions, whole and streamed.
#ifndef FACET_RPC_OPENAI_COMPLETION_ANSWER_H_
#define FACET_RPC_OPENAI_COMPLETION_ANSWER_H_

#include <memory>
#include <string>
#include <vector>

#include "rpc/openai/completion_request.h"
#include "rpc/openai/generation.h"

namespace facet {

// `prepared` has one request a prompt. Answer j of prompt i is choice
// i * n + j. `tokenizer` outlives the writer.
std::unique_ptr<AnswerWriter> MakeCompletionAnswer(
    std::shared_ptr<ApiCall> call, const CompletionRequest& request,
    const std::vector<GenerateRequest>& prepared, const std::string& model,
    const Tokenizer* tokenizer);

}  // namespace facet

#endif  // FACET_RPC_OPENAI_COMPLETION_ANSWER_H_
