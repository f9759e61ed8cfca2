// Requests in, streams of tokens out: the one thread that drives the scheduler
// and the executor. Snapshot, plan, execute, apply.
#ifndef FACET_RPC_COORDINATOR_ENGINE_H_
#define FACET_RPC_COORDINATOR_ENGINE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "rpc/convert/text_messages.h"
#include "runtime/config/model_config.h"
#include "runtime/executor/executor.h"
#include "runtime/plan/step_plan.h"
#include "runtime/tokenizer/tokenizer.h"

namespace facet {

struct GenerateRequest {
  std::vector<int32_t> prompt;  // token ids
  SamplingParams sampling;
  int64_t max_tokens = 256;
  std::vector<int32_t> stop_ids;  // end the answer; the stop id is reported
  // End it before they are shown. At most 16 of 1 to 256 bytes.
  std::vector<std::string> stop_strings;
  // Rows of logits for the prompt instead of an answer (max_tokens 0).
  bool prompt_logits = false;
};

// What happened since the last event of the same request.
struct GenerateEvent {
  std::vector<SampledToken> tokens;
  std::string text;  // newly certain; special tokens and stop id left out
  std::vector<AnswerPart> parts;  // the same text by kind
  std::vector<LogitsBlock> logits;
  FinishReason finish = FinishReason::kNone;  // set on the last event
  absl::Status status;                        // of the last event
};

struct EngineLimits {
  int max_step_tokens = 512;  // prefill chunk budget of one step
  int max_sequences = 64;     // running at once
  int max_queue = 1024;       // waiting; more is RESOURCE_EXHAUSTED
};

class Engine {
 public:
  using Callback = std::function<void(GenerateEvent event)>;

  // `executor`, `model` and `tokenizer` outlive the engine; `tokenizer` may be
  // null, then events carry no text and stop_strings are refused. Destroying
  // the engine ends what has not ended with kError and UNAVAILABLE.
  static std::unique_ptr<Engine> Create(Executor* executor,
                                        const ModelConfig* model,
                                        const Tokenizer* tokenizer,
                                        const EngineLimits& limits);
  virtual ~Engine() = default;

  // Queues a request. `callback` runs on the engine's thread, must not block,
  // and gets exactly one event with a finish reason.
  //
  // Errors (then the callback never runs):
  //   INVALID_ARGUMENT    empty prompt, token id out of range, sampling out of
  //                       range, prompt longer than the KV memory or the
  //                       model's context
  //   RESOURCE_EXHAUSTED  the queue is full
  //   UNAVAILABLE         the executor has failed or Drain() was called
  virtual absl::StatusOr<uint64_t> Submit(GenerateRequest request,
                                          Callback callback) = 0;

  // Ends a request with kCancelled; without effect when it has ended. A
  // callback may call it.
  virtual void Cancel(uint64_t request) = 0;

  // Admits nothing more, ends what runs as it would end, then returns. What
  // has not ended after `grace` ends with kError and UNAVAILABLE.
  virtual void Drain(absl::Duration grace) = 0;

  // Not OK once the executor has failed; every request has ended by then, and
  // none is taken any more.
  virtual absl::Status health() const = 0;
};

}  // namespace facet

#endif  // FACET_RPC_COORDINATOR_ENGINE_H_
