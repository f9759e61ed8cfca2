// What the engine is asked for and what it answers, in token ids.
#ifndef FACET_RPC_COORDINATOR_GENERATE_REQUEST_H_
#define FACET_RPC_COORDINATOR_GENERATE_REQUEST_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "rpc/convert/text_messages.h"
#include "runtime/grammar/grammar.h"
#include "runtime/plan/step_plan.h"

namespace facet {

struct GenerateRequest {
  std::vector<int32_t> prompt;  // token ids
  SamplingParams sampling;      // answer i > 0 draws with AnswerSeed(seed, i)
  std::vector<TokenBias> logit_bias;
  int64_t max_tokens = 256;
  int64_t min_tokens = 0;         // neither stop ids nor stop strings before
  std::vector<int32_t> stop_ids;  // end the answer; the stop id is reported
  // End it before they are shown.
  std::vector<std::string> stop_strings;
  int n = 1;        // answers
  int best_of = 0;  // drawn, of which the n likeliest are reported; 0: n
  int prompt_logprobs = -1;
  // Rows of logits for the prompt instead of an answer (max_tokens 0).
  bool prompt_logits = false;
  // What an answer must look like; null: anything. Thoughts are free, and an
  // answer may begin with one where the flag says so.
  GrammarPtr grammar;
  OutputFormat format;  // what `grammar` was made from
  bool may_think = false;
  // Thoughts end after so many tokens; -1: no limit.
  int64_t max_thought_tokens = -1;
  int priority = 0;  // lower is more urgent, -100 to 100
  absl::Time deadline = absl::InfiniteFuture();
  std::string cache_salt;
  // By answer: tokens that were drawn and shown elsewhere. The answer goes on
  // behind them; events have what is new. None where best_of exceeds n.
  std::vector<std::vector<int32_t>> drawn;
};

// What happened since the last event of the same answer.
struct GenerateEvent {
  int index = 0;  // of the answer, below n
  std::vector<SampledToken> tokens;
  std::string text;  // newly certain; special tokens and stop id left out
  std::vector<AnswerPart> parts;               // the same text by kind
  std::vector<PromptLogprob> prompt_logprobs;  // with answer 0
  std::vector<LogitsBlock> logits;
  FinishReason finish = FinishReason::kNone;  // set on the answer's last event
  absl::Status status;                        // of the last event
  Usage usage;                                // of the last event
  bool done = false;  // every answer of the request has ended
};

// Most answers of one request: a request must not fill a server.
inline constexpr int kMaxAnswers = 64;

// The seed of answer `index`; that of answer 0 is `seed` itself.
uint64_t AnswerSeed(uint64_t seed, int index);

// Whether every field is in range, whatever the state of the server.
// `tokenizes`: there is a tokenizer, so that text can be looked at.
//
// Errors: INVALID_ARGUMENT naming the field, the value and what is legal.
absl::Status CheckRequest(const GenerateRequest& request, int64_t vocab_size,
                          bool tokenizes);

}  // namespace facet

#endif  // FACET_RPC_COORDINATOR_GENERATE_REQUEST_H_
