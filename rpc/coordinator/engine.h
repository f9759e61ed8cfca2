// Requests in, streams of tokens out: the one thread that drives the scheduler
// and the executor. Snapshot, plan, start, finish, apply; a step is handed over
// while the one before it still runs.
//
// When the executor loses its ranks, the engine waits for others and computes
// what every answer has so far anew, in pages of theirs. Answers go on with the
// token that was next; nothing is shown twice and nothing is missing.
#ifndef FACET_RPC_COORDINATOR_ENGINE_H_
#define FACET_RPC_COORDINATOR_ENGINE_H_

#include <cstdint>
#include <functional>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "rpc/coordinator/generate_request.h"
#include "rpc/metrics/serving_metrics.h"
#include "runtime/config/model_config.h"
#include "runtime/executor/executor.h"
#include "runtime/tokenizer/tokenizer.h"

namespace facet {

struct EngineLimits {
  int max_step_tokens = 512;  // prefill chunk budget of one step
  int max_sequences = 64;     // running at once
  int max_queue = 1024;       // waiting; more is RESOURCE_EXHAUSTED
  bool prefix_cache = true;   // across requests
  // How long requests wait for lost ranks to be replaced before they end with
  // UNAVAILABLE.
  absl::Duration recovery_timeout = absl::Minutes(2);
};

class Engine {
 public:
  using Callback = std::function<void(GenerateEvent event)>;

  // `executor`, `model`, `tokenizer` and `metrics` outlive the engine.
  // `tokenizer` may be null, then events carry no text, and stop_strings and
  // grammars are refused; `metrics` may be null. Destroying the engine ends
  // what has not ended with kError and UNAVAILABLE.
  static std::unique_ptr<Engine> Create(Executor* executor,
                                        const ModelConfig* model,
                                        const Tokenizer* tokenizer,
                                        const EngineLimits& limits,
                                        ServingMetrics* metrics = nullptr);
  virtual ~Engine() = default;

  // Queues a request. `callback` runs on the engine's thread, must not block,
  // and gets exactly one event with a finish reason for each answer; the last
  // of these has `done` set.
  //
  // Errors (then the callback never runs):
  //   INVALID_ARGUMENT    CheckRequest() refuses it, the prompt is empty or has
  //                       an id out of range, or it exceeds the KV memory or
  //                       the model's context
  //   DEADLINE_EXCEEDED   its deadline has passed
  //   RESOURCE_EXHAUSTED  the queue is full; see RetryAfter()
  //   UNAVAILABLE         the executor has failed, has been without ranks for
  //                       recovery_timeout, or Drain() was called
  virtual absl::StatusOr<uint64_t> Submit(GenerateRequest request,
                                          Callback callback) = 0;

  // Ends a request with kCancelled; without effect when it has ended. A
  // callback may call it. Its pages are free before the next step is planned.
  virtual void Cancel(uint64_t request) = 0;

  // Admits nothing more, ends what runs as it would end, then returns. What
  // has not ended after `grace` ends with kError and UNAVAILABLE.
  virtual void Drain(absl::Duration grace) = 0;

  // UNAVAILABLE while lost ranks are being replaced; requests wait. Another
  // error once the executor has failed for good: every request has ended by
  // then, and none is taken any more.
  virtual absl::Status health() const = 0;
};

}  // namespace facet

#endif  // FACET_RPC_COORDINATOR_ENGINE_H_
