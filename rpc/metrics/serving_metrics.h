// What the serving engine measures of itself, as Prometheus reads it.
// docs/metrics.md lists every metric, and a test holds the two together.
//
// Every series is named `facet:NAME` and carries `model_name`. Those that vLLM
// has too can be shown a second time as `vllm:NAME`, so that dashboards,
// autoscalers and the endpoint picker of the Gateway API inference extension
// that know vLLM work unchanged. The copy is made when the text is asked for:
// measuring costs the same with and without.
//
// All label values are known when the object is made (fixed words and ranks),
// so no request can add a series.
#ifndef FACET_RPC_METRICS_SERVING_METRICS_H_
#define FACET_RPC_METRICS_SERVING_METRICS_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "rpc/convert/text_messages.h"

namespace facet {

struct ServingMetricsOptions {
  std::string model_name;
  int64_t max_model_len = 1;  // the context; histograms of tokens reach so far
  int world_size = 1;         // ranks 0 to world_size - 1 have series
  bool vllm_names = false;    // show what vLLM has under its names too

  // Of build_info.
  std::string version;
  std::string numerics;

  // Of cache_config_info.
  int page_tokens = 0;
  int64_t global_pages = 0;
  std::string kv_format;
  bool prefix_cache = false;
};

// Pages of one pool. `cached` ones hold a prefix that no running sequence uses;
// they are free for the asking.
struct PoolPages {
  int64_t used = 0;
  int64_t cached = 0;
  int64_t free = 0;
};

// The engine as it stands.
struct EngineState {
  int64_t running = 0;  // requests with pages
  int64_t waiting = 0;  // requests without
  PoolPages sliding;
  PoolPages global;
};

// One step that ran.
struct StepRecord {
  int64_t prefill_tokens = 0;    // computed for prompts (and recomputed ones)
  int64_t decode_tokens = 0;     // computed for sequences that generate
  int64_t generated_tokens = 0;  // sampled and kept
  int64_t preemptions = 0;       // sequences put back to make room for it
  absl::Duration planning;       // in the scheduler
  absl::Duration duration;       // from the plan's leaving to its result
};

// What a request was and what it took. Times count from its arrival;
// InfiniteDuration() where the request never came so far.
struct RequestRecord {
  FinishReason finish = FinishReason::kNone;
  int64_t prompt_tokens = 0;
  int64_t generated_tokens = 0;  // over all n
  int64_t longest_answer = 0;    // of the n, in tokens
  int64_t n = 1;
  int64_t max_tokens = 0;  // as asked for; 0: not asked

  absl::Duration scheduled = absl::InfiniteDuration();  // first step with it
  absl::Duration first_token = absl::InfiniteDuration();
  absl::Duration last_token = absl::InfiniteDuration();
  absl::Duration end;
};

// Safe from several threads. No call but Text() allocates or looks anything up:
// each is a handful of atomic additions and, for histograms, one short lock.
class ServingMetrics {
 public:
  explicit ServingMetrics(const ServingMetricsOptions& options);
  ~ServingMetrics();
  ServingMetrics(const ServingMetrics&) = delete;
  ServingMetrics& operator=(const ServingMetrics&) = delete;

  // After each step, when a request comes or goes, and once when the engine
  // falls idle: what is shown is what was set last.
  void SetState(const EngineState& state);

  // After each step. One without tokens (it only drops sequences) counts as
  // planning alone.
  void StepDone(const StepRecord& step);

  // When a request is admitted and the prefix cache has been asked: how many of
  // its prompt tokens were looked for, and how many were there.
  void PrefixLookup(int64_t queried_tokens, int64_t hit_tokens);

  // When a request's prompt has been computed and its first token is there, or
  // the prompt's logits if it wants no token. `since_arrival` of the request.
  void PromptDone(int64_t prompt_tokens, absl::Duration since_arrival);

  // For each token of a sequence but its first: the time since the one before.
  void NextToken(absl::Duration since_last);

  // Once for each admitted request, whatever its end.
  //
  // REQUIRES: request.finish is not kNone.
  void RequestDone(const RequestRecord& request);

  // A request that was not taken in; the reason shown depends on the code:
  // RESOURCE_EXHAUSTED queue_full, INVALID_ARGUMENT invalid, UNAVAILABLE
  // unavailable, DEADLINE_EXCEEDED deadline, and other.
  void RequestRefused(const absl::Status& why);

  // A request with a key got the answer of one before it.
  void RequestAskedAgain();
  // Requests that an earlier process left unfinished go on.
  void RequestsRestored(int64_t requests);
  // As it stands; without a journal it is never called.
  void SetJournal(bool suspended, int64_t bytes, int64_t dropped_records);

  // When the model can run again `outage` after it lost its ranks.
  void Recovered(absl::Duration outage);

  // Of one worker. Ranks outside [0, world_size) are ignored. Workers are up
  // until told otherwise.
  void SetWorkerUp(int rank, bool up);
  void SetWorkerKvBytes(int rank, int64_t bytes);
  // Its own compute, waits for peers included.
  void WorkerStepDone(int rank, absl::Duration compute);

  // All of it in Prometheus' text format, version 0.0.4.
  std::string Text() const;

 private:
  struct Series;
  const std::unique_ptr<Series> series_;
};

}  // namespace facet

#endif  // FACET_RPC_METRICS_SERVING_METRICS_H_
