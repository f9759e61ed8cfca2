// What users and the front door say to each other, as plain values: a request
// in terms of text, and the stream of its answer. The command line, the gRPC
// service and its client speak these; rpc/proto/inference.proto documents each
// field.
#ifndef FACET_RPC_CONVERT_TEXT_MESSAGES_H_
#define FACET_RPC_CONVERT_TEXT_MESSAGES_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "runtime/plan/step_plan.h"

namespace facet {

// Unset means what the model's generation_config.json says.
struct SamplingOptions {
  std::optional<float> temperature;
  std::optional<int> top_k;
  std::optional<float> top_p;
  std::optional<float> min_p;
  std::optional<uint64_t> seed;
  bool logprobs = false;
  int top_logprobs = 0;
};

enum class PromptKind : uint8_t { kNone, kText, kTokens, kConversation };

struct TextRequest {
  PromptKind kind = PromptKind::kNone;
  std::string text;             // kText; the JSON of kConversation
  std::vector<int32_t> tokens;  // kTokens
  SamplingOptions sampling;
  std::optional<int64_t> max_tokens;
  std::vector<std::string> stop;
  std::vector<int32_t> stop_ids;
  bool ignore_eos = false;
  std::optional<bool> enable_thinking;
};

enum class FinishReason : uint8_t { kNone, kStop, kLength, kCancelled, kError };
const char* Name(FinishReason reason);

enum class PartKind : uint8_t { kAnswer, kThought, kToolCall };

// A run of text of one kind. A thought comes without its channel name; a tool
// call as "call:NAME{...}" with its string markers.
struct AnswerPart {
  PartKind kind = PartKind::kAnswer;
  std::string text;
  bool begins = false;  // the first run of a part, not more of the one before
};

struct Usage {
  int64_t prompt_tokens = 0;
  int64_t completion_tokens = 0;
  double first_token_s = 0;  // from the request's arrival
  double tokens_per_s = 0;   // after the first token
};

// What happened since the last event of the same request.
struct TextEvent {
  std::vector<SampledToken> tokens;
  std::string text;
  std::vector<AnswerPart> parts;
  FinishReason finish = FinishReason::kNone;  // set on the last event
  absl::Status status;                        // of the last event
  Usage usage;                                // of the last event
};

struct ModelInfo {
  std::string name;
  int64_t vocab_size = 0;
  int64_t context_tokens = 0;
  int layers = 0;
  std::string chat_format;  // empty: no conversations
};

}  // namespace facet

#endif  // FACET_RPC_CONVERT_TEXT_MESSAGES_H_
