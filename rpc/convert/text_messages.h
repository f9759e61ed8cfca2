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
#include "runtime/chat/answer_part.h"
#include "runtime/grammar/tool_calls.h"
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
  float repetition_penalty = 1.0f;
  float presence_penalty = 0.0f;
  float frequency_penalty = 0.0f;
  std::vector<TokenBias> logit_bias;
};

// What an answer must look like.
enum class OutputKind : uint8_t {
  kFree,
  kJsonObject,  // any JSON object
  kJsonSchema,
  kRegex,     // the whole answer matches
  kGrammar,   // EBNF with the rule `root`
  kChoice,    // one of several texts
  kToolCalls  // calls of `tools`, or else what `calls` says
};

struct OutputFormat {
  OutputKind kind = OutputKind::kFree;
  std::string text;  // the schema, pattern or grammar
  std::vector<std::string> choices;
  std::vector<CallableTool> tools;  // of kToolCalls
  ToolCallOptions calls;
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
  int64_t max_thought_tokens = -1;  // -1: no limit of its own
  int n = 1;                        // answers
  int best_of = 0;  // drawn, of which the n likeliest are shown; 0: n
  int64_t min_tokens = 0;
  int prompt_logprobs = -1;  // -1: none
  OutputFormat format;
  int priority = 0;  // lower is more urgent
  std::optional<double> timeout_s;
  std::string cache_salt;
  std::string request_key;  // empty: none
};

enum class FinishReason : uint8_t { kNone, kStop, kLength, kCancelled, kError };
const char* Name(FinishReason reason);

struct Usage {
  int64_t prompt_tokens = 0;
  int64_t cached_tokens = 0;  // of these, found in the prefix cache
  int64_t completion_tokens = 0;
  double queue_s = 0;        // from the request's arrival until it was computed
  double first_token_s = 0;  // from the request's arrival
  double tokens_per_s = 0;   // after the first token
};

// What happened since the last event of the same answer of the same request.
struct TextEvent {
  int index = 0;  // of the answer, below n
  std::vector<SampledToken> tokens;
  std::string text;
  std::vector<AnswerPart> parts;
  std::vector<PromptLogprob> prompt_logprobs;  // of answer 0
  FinishReason finish = FinishReason::kNone;   // set on the answer's last event
  absl::Status status;                         // of the last event
  Usage usage;                                 // of the answer's last event
  bool done = false;  // every answer of the request has ended
  // Told once before, to somebody else: how much comes at once says nothing of
  // how fast the client reads.
  bool again = false;
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
