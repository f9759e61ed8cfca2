// Answers of /v1/chat/completions, whole and streamed.
#ifndef FACET_RPC_OPENAI_CHAT_ANSWER_H_
#define FACET_RPC_OPENAI_CHAT_ANSWER_H_

#include <memory>
#include <string>

#include "rpc/openai/chat_request.h"
#include "rpc/openai/generation.h"

namespace facet {

// `prepared` is what the engine is asked for; `model` the name to answer under.
// `tokenizer` outlives the writer.
std::unique_ptr<AnswerWriter> MakeChatAnswer(std::shared_ptr<ApiCall> call,
                                             const ChatRequest& request,
                                             const GenerateRequest& prepared,
                                             const std::string& model,
                                             const Tokenizer* tokenizer);

}  // namespace facet

#endif  // FACET_RPC_OPENAI_CHAT_ANSWER_H_
