// The typed conversations of rpc/proto/inference.proto as the front door takes
// them, and answers to them. What a conversation may be is checked where
// OpenAI's API checks it, so that both refuse the same.
#ifndef FACET_RPC_CONVERT_CHAT_CONVERT_H_
#define FACET_RPC_CONVERT_CHAT_CONVERT_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "rpc/convert/text_messages.h"
#include "rpc/coordinator/generate_request.h"
#include "rpc/coordinator/request_key.h"
#include "rpc/openai/answer_reader.h"
#include "rpc/openai/tool_choice.h"
#include "rpc/proto/inference.pb.h"
#include "runtime/tokenizer/tokenizer.h"

namespace facet {

struct ChatCall {
  TextRequest text;  // the form that calls have to keep to included
  ToolUse tools;
};

// Errors: INVALID_ARGUMENT naming the field.
absl::StatusOr<ChatCall> FromProto(const v1::ChatRequest& request);

// The answers of one call, told apart. One thread at a time.
class ChatAnswers {
 public:
  // `tokenizer` outlives it. The ids of calls follow from `key`, unless it is
  // null.
  ChatAnswers(const Tokenizer* tokenizer, const GenerateRequest& request,
              bool has_tools, const RequestKey* key = nullptr);

  // Adds what `event` brought, log-probabilities only if `logprobs`.
  void AppendToProto(const TextEvent& event, bool logprobs,
                     v1::ChatResponse* response);

 private:
  std::string CallId(int answer, int call) const;

  std::vector<AnswerReader> readers_;  // by answer
  std::optional<RequestKey> key_;
};

}  // namespace facet

#endif  // FACET_RPC_CONVERT_CHAT_CONVERT_H_
