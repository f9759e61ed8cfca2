#include "rpc/metrics/serving_metrics.h"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "rpc/metrics/buckets.h"

namespace facet {
namespace {

using Counter = prometheus::Counter;
using Gauge = prometheus::Gauge;
using Histogram = prometheus::Histogram;
using Labels = prometheus::Labels;

constexpr char kPrefix[] = "facet:";
constexpr char kVllmPrefix[] = "vllm:";

// What vLLM measures under the same name.
constexpr const char* kVllmNames[] = {
    "cache_config_info",
    "e2e_request_latency_seconds",
    "generation_tokens_total",
    "inter_token_latency_seconds",
    "iteration_tokens_total",
    "kv_cache_usage_perc",
    "num_preemptions_total",
    "num_requests_running",
    "num_requests_waiting",
    "prefix_cache_hits_total",
    "prefix_cache_queries_total",
    "prompt_tokens_total",
    "request_decode_time_seconds",
    "request_generation_tokens",
    "request_inference_time_seconds",
    "request_max_num_generation_tokens",
    "request_params_max_tokens",
    "request_params_n",
    "request_prefill_time_seconds",
    "request_prompt_tokens",
    "request_queue_time_seconds",
    "request_success_total",
    "request_time_per_output_token_seconds",
    "time_to_first_token_seconds",
};

// An older vLLM called it so.
constexpr char kInterToken[] = "inter_token_latency_seconds";
constexpr char kInterTokenOfOldVllm[] = "time_per_output_token_seconds";

bool VllmHas(const std::string& name) {
  return std::find(std::begin(kVllmNames), std::end(kVllmNames), name) !=
         std::end(kVllmNames);
}

// `family` as vLLM shows it. vLLM numbers its engines.
prometheus::MetricFamily ForVllm(prometheus::MetricFamily family,
                                 const std::string& name) {
  family.name = absl::StrCat(kVllmPrefix, name);
  for (prometheus::ClientMetric& metric : family.metric) {
    metric.label.push_back({"engine", "0"});
  }
  return family;
}

enum RefusalReason {
  kQueueFull,
  kInvalid,
  kUnavailable,
  kDeadline,
  kOther,
  kRefusalReasons
};
constexpr const char* kRefusalNames[kRefusalReasons] = {
    "queue_full", "invalid", "unavailable", "deadline", "other"};

RefusalReason ReasonOf(const absl::Status& why) {
  switch (why.code()) {
    case absl::StatusCode::kResourceExhausted:
      return kQueueFull;
    case absl::StatusCode::kInvalidArgument:
      return kInvalid;
    case absl::StatusCode::kUnavailable:
      return kUnavailable;
    case absl::StatusCode::kDeadlineExceeded:
      return kDeadline;
    default:
      return kOther;
  }
}

enum Phase { kPrefill, kDecode, kMixed, kPhases };
constexpr const char* kPhaseNames[kPhases] = {"prefill", "decode", "mixed"};

double Share(const PoolPages& pool) {
  const int64_t all = pool.used + pool.cached + pool.free;
  return all == 0 ? 0.0 : static_cast<double>(pool.used) / all;
}

void Add(Counter* counter, int64_t count) {
  if (count > 0) counter->Increment(static_cast<double>(count));
}

void Observe(Histogram* histogram, absl::Duration time) {
  histogram->Observe(std::max(absl::ToDoubleSeconds(time), 0.0));
}

bool Happened(absl::Duration time) { return time != absl::InfiniteDuration(); }

}  // namespace

// The registry and a handle to each series.
struct ServingMetrics::Series {
  struct Pool {
    Gauge* used;
    Gauge* cached;
    Gauge* free;
  };
  struct Worker {
    Gauge* up;
    Gauge* kv_bytes;
    Histogram* step_compute;
  };

  explicit Series(const ServingMetricsOptions& options);

  template <typename Builder>
  auto& Family(Builder builder, const std::string& name,
               const std::string& help) {
    return builder.Name(kPrefix + name)
        .Help(help)
        .Labels({{"model_name", model_name}})
        .Register(registry);
  }
  Counter* NewCounter(const std::string& name, const std::string& help) {
    return &Family(prometheus::BuildCounter(), name, help).Add({});
  }
  Gauge* NewGauge(const std::string& name, const std::string& help) {
    return &Family(prometheus::BuildGauge(), name, help).Add({});
  }
  Histogram* NewHistogram(const std::string& name, const std::string& help,
                          const Buckets& buckets) {
    return &Family(prometheus::BuildHistogram(), name, help).Add({}, buckets);
  }
  // A gauge that is 1 and says something in its labels.
  void NewInfo(const std::string& name, const std::string& help,
               const Labels& labels) {
    Family(prometheus::BuildGauge(), name, help).Add(labels).Set(1);
  }

  void AddState();
  void AddTokens();
  void AddRequests(int64_t max_model_len);
  void AddRequestTimes();
  void AddSteps();
  void AddWorkers(int world_size);

  const std::string model_name;
  const bool vllm_names;
  prometheus::Registry registry;

  Gauge* running;
  Gauge* waiting;
  Gauge* kv_usage;
  Pool sliding;
  Pool global;

  Counter* preemptions;
  Counter* recoveries;
  Counter* asked_again;
  Counter* restored;
  Gauge* journal_suspended;
  Gauge* journal_bytes;
  Gauge* journal_dropped;
  Counter* outage_seconds;
  Counter* prefix_queries;
  Counter* prefix_hits;
  Counter* prompt_tokens;
  Counter* generation_tokens;

  Counter* finished_stop;
  Counter* finished_length;
  Counter* finished_abort;
  Counter* finished_error;
  std::array<Counter*, kRefusalReasons> refused;

  Histogram* request_prompt_tokens;
  Histogram* request_generation_tokens;
  Histogram* request_longest_answer;
  Histogram* request_n;
  Histogram* request_max_tokens;

  Histogram* time_to_first_token;
  Histogram* inter_token_latency;
  Histogram* request_time_per_token;
  Histogram* e2e_latency;
  Histogram* queue_time;
  Histogram* prefill_time;
  Histogram* decode_time;
  Histogram* inference_time;

  Histogram* iteration_tokens;
  Histogram* planning;
  std::array<Histogram*, kPhases> step_seconds;
  std::array<Histogram*, kPhases> step_tokens;

  std::vector<Worker> workers;
};

ServingMetrics::Series::Series(const ServingMetricsOptions& options)
    : model_name(options.model_name), vllm_names(options.vllm_names) {
  NewInfo("build_info", "Always 1; the labels tell the build.",
          {{"version", options.version}, {"numerics", options.numerics}});
  NewInfo("cache_config_info",
          "Always 1; the labels tell how K/V memory is divided.",
          {{"block_size", absl::StrCat(options.page_tokens)},
           {"num_gpu_blocks", absl::StrCat(options.global_pages)},
           {"cache_dtype", options.kv_format},
           {"enable_prefix_caching", options.prefix_cache ? "True" : "False"}});
  AddState();
  AddTokens();
  AddRequests(std::max<int64_t>(options.max_model_len, 1));
  AddRequestTimes();
  AddSteps();
  AddWorkers(options.world_size);
}

void ServingMetrics::Series::AddState() {
  running = NewGauge("num_requests_running", "Requests that hold K/V pages.");
  waiting = NewGauge("num_requests_waiting", "Requests in the queue.");
  kv_usage = NewGauge("kv_cache_usage_perc",
                      "K/V pages in use, of the fuller pool; 1 is all.");
  auto& pages = Family(prometheus::BuildGauge(), "kv_pages",
                       "K/V pages by pool and by what they are for.");
  const auto pool = [&pages](const char* name) {
    const auto state = [&](const char* word) {
      return &pages.Add({{"pool", name}, {"state", word}});
    };
    return Pool{state("used"), state("cached"), state("free")};
  };
  sliding = pool("sliding");
  global = pool("global");
}

void ServingMetrics::Series::AddTokens() {
  preemptions = NewCounter("num_preemptions_total",
                           "Sequences put back into the queue for want of K/V "
                           "pages.");
  recoveries =
      NewCounter("recoveries_total", "Times that lost workers were replaced.");
  asked_again = NewCounter("requests_asked_again_total",
                           "Requests with a key that got the answer of an "
                           "earlier one.");
  restored = NewCounter("requests_restored_total",
                        "Requests of an earlier process that went on.");
  journal_suspended =
      NewGauge("journal_suspended", "1 while the journal cannot be written.");
  journal_bytes = NewGauge("journal_bytes", "Of the journal's file.");
  journal_dropped = NewGauge("journal_dropped_records",
                             "Records that did not get into the journal.");
  outage_seconds =
      NewCounter("outage_seconds_total", "Time that it took, in all.");
  prefix_queries = NewCounter("prefix_cache_queries_total",
                              "Prompt tokens looked for in the prefix cache.");
  prefix_hits = NewCounter("prefix_cache_hits_total",
                           "Prompt tokens found in the prefix cache.");
  prompt_tokens = NewCounter("prompt_tokens_total",
                             "Tokens of prompts that are ready to go on, from "
                             "the prefix cache or computed.");
  generation_tokens =
      NewCounter("generation_tokens_total", "Tokens generated.");
}

void ServingMetrics::Series::AddRequests(int64_t max_model_len) {
  auto& finished = Family(prometheus::BuildCounter(), "request_success_total",
                          "Requests that ended, by reason.");
  const auto reason = [&finished](const char* word) {
    return &finished.Add({{"finished_reason", word}});
  };
  finished_stop = reason("stop");
  finished_length = reason("length");
  finished_abort = reason("abort");
  finished_error = reason("error");
  auto& refusals = Family(prometheus::BuildCounter(), "requests_refused_total",
                          "Requests not taken in, by reason.");
  for (int i = 0; i < kRefusalReasons; ++i) {
    refused[i] = &refusals.Add({{"reason", kRefusalNames[i]}});
  }

  const Buckets tokens = TokenBuckets(max_model_len);
  request_prompt_tokens = NewHistogram("request_prompt_tokens",
                                       "Prompt tokens of a request.", tokens);
  request_generation_tokens = NewHistogram(
      "request_generation_tokens", "Tokens generated for a request.", tokens);
  request_longest_answer =
      NewHistogram("request_max_num_generation_tokens",
                   "Tokens of the longest answer of a request.", tokens);
  request_n = NewHistogram("request_params_n",
                           "Answers a request asks for (n).", AnswersBuckets());
  request_max_tokens =
      NewHistogram("request_params_max_tokens",
                   "max_tokens of a request that gives it.", tokens);
}

void ServingMetrics::Series::AddRequestTimes() {
  time_to_first_token = NewHistogram(
      "time_to_first_token_seconds",
      "From a request's arrival to its first token.", FirstTokenBuckets());
  inter_token_latency = NewHistogram(
      kInterToken, "Between a token and the one before.", NextTokenBuckets());
  request_time_per_token = NewHistogram(
      "request_time_per_output_token_seconds",
      "Mean time between the tokens of a request.", NextTokenBuckets());
  const Buckets buckets = RequestBuckets();
  e2e_latency = NewHistogram("e2e_request_latency_seconds",
                             "From a request's arrival to its end.", buckets);
  queue_time =
      NewHistogram("request_queue_time_seconds",
                   "From a request's arrival to its first step.", buckets);
  prefill_time =
      NewHistogram("request_prefill_time_seconds",
                   "From a request's first step to its first token.", buckets);
  decode_time =
      NewHistogram("request_decode_time_seconds",
                   "From a request's first token to its last.", buckets);
  inference_time =
      NewHistogram("request_inference_time_seconds",
                   "From a request's first step to its last token.", buckets);
}

void ServingMetrics::Series::AddSteps() {
  iteration_tokens =
      NewHistogram("iteration_tokens_total", "Tokens computed in a step.",
                   StepTokenBuckets());
  planning = NewHistogram("scheduler_seconds", "Planning of a step.",
                          PlanningBuckets());
  auto& seconds =
      Family(prometheus::BuildHistogram(), "step_seconds",
             "From handing over a step to its result, by what it computed.");
  auto& tokens = Family(prometheus::BuildHistogram(), "step_tokens",
                        "Tokens of a step, by what it computed.");
  for (int i = 0; i < kPhases; ++i) {
    const Labels phase = {{"phase", kPhaseNames[i]}};
    step_seconds[i] = &seconds.Add(phase, StepBuckets());
    step_tokens[i] = &tokens.Add(phase, StepTokenBuckets());
  }
}

void ServingMetrics::Series::AddWorkers(int world_size) {
  auto& up = Family(prometheus::BuildGauge(), "worker_up",
                    "1 while the worker takes part.");
  auto& kv_bytes = Family(prometheus::BuildGauge(), "worker_kv_bytes",
                          "Bytes of K/V pages on the worker.");
  auto& compute =
      Family(prometheus::BuildHistogram(), "worker_step_compute_seconds",
             "A worker's part of a step, waits for peers included.");
  for (int rank = 0; rank < world_size; ++rank) {
    const Labels label = {{"rank", absl::StrCat(rank)}};
    workers.push_back({&up.Add(label), &kv_bytes.Add(label),
                       &compute.Add(label, StepBuckets())});
    workers.back().up->Set(1);
  }
}

ServingMetrics::ServingMetrics(const ServingMetricsOptions& options)
    : series_(std::make_unique<Series>(options)) {}

ServingMetrics::~ServingMetrics() = default;

void ServingMetrics::SetState(const EngineState& state) {
  const auto set = [](const Series::Pool& gauges, const PoolPages& pages) {
    gauges.used->Set(static_cast<double>(pages.used));
    gauges.cached->Set(static_cast<double>(pages.cached));
    gauges.free->Set(static_cast<double>(pages.free));
  };
  series_->running->Set(static_cast<double>(state.running));
  series_->waiting->Set(static_cast<double>(state.waiting));
  series_->kv_usage->Set(std::max(Share(state.sliding), Share(state.global)));
  set(series_->sliding, state.sliding);
  set(series_->global, state.global);
}

void ServingMetrics::StepDone(const StepRecord& step) {
  Observe(series_->planning, step.planning);
  Add(series_->preemptions, step.preemptions);
  Add(series_->generation_tokens, step.generated_tokens);
  const int64_t tokens = step.prefill_tokens + step.decode_tokens;
  if (tokens == 0) return;
  const Phase phase = step.decode_tokens == 0    ? kPrefill
                      : step.prefill_tokens == 0 ? kDecode
                                                 : kMixed;
  Observe(series_->step_seconds[phase], step.duration);
  series_->step_tokens[phase]->Observe(static_cast<double>(tokens));
  series_->iteration_tokens->Observe(static_cast<double>(tokens));
}

void ServingMetrics::Recovered(absl::Duration outage) {
  Add(series_->recoveries, 1);
  series_->outage_seconds->Increment(absl::ToDoubleSeconds(outage));
}

void ServingMetrics::RequestAskedAgain() { Add(series_->asked_again, 1); }

void ServingMetrics::RequestsRestored(int64_t requests) {
  Add(series_->restored, requests);
}

void ServingMetrics::SetJournal(bool suspended, int64_t bytes,
                                int64_t dropped_records) {
  series_->journal_suspended->Set(suspended ? 1 : 0);
  series_->journal_bytes->Set(static_cast<double>(bytes));
  series_->journal_dropped->Set(static_cast<double>(dropped_records));
}

void ServingMetrics::PrefixLookup(int64_t queried_tokens, int64_t hit_tokens) {
  Add(series_->prefix_queries, queried_tokens);
  Add(series_->prefix_hits, hit_tokens);
}

void ServingMetrics::PromptDone(int64_t prompt_tokens,
                                absl::Duration since_arrival) {
  Add(series_->prompt_tokens, prompt_tokens);
  Observe(series_->time_to_first_token, since_arrival);
}

void ServingMetrics::NextToken(absl::Duration since_last) {
  Observe(series_->inter_token_latency, since_last);
}

void ServingMetrics::RequestDone(const RequestRecord& request) {
  switch (request.finish) {
    case FinishReason::kStop:
      series_->finished_stop->Increment();
      break;
    case FinishReason::kLength:
      series_->finished_length->Increment();
      break;
    case FinishReason::kCancelled:
      series_->finished_abort->Increment();
      break;
    case FinishReason::kNone:
    case FinishReason::kError:
      series_->finished_error->Increment();
      break;
  }
  const auto observe = [](Histogram* histogram, int64_t count) {
    histogram->Observe(static_cast<double>(count));
  };
  observe(series_->request_prompt_tokens, request.prompt_tokens);
  observe(series_->request_generation_tokens, request.generated_tokens);
  observe(series_->request_longest_answer, request.longest_answer);
  observe(series_->request_n, request.n);
  if (request.max_tokens > 0) {
    observe(series_->request_max_tokens, request.max_tokens);
  }

  Observe(series_->e2e_latency, request.end);
  // One that never ran waited to its end.
  Observe(series_->queue_time,
          Happened(request.scheduled) ? request.scheduled : request.end);
  if (!Happened(request.scheduled) || !Happened(request.first_token)) return;
  const absl::Duration last =
      Happened(request.last_token) ? request.last_token : request.first_token;
  Observe(series_->prefill_time, request.first_token - request.scheduled);
  Observe(series_->decode_time, last - request.first_token);
  Observe(series_->inference_time, last - request.scheduled);
  if (request.longest_answer > 1) {
    Observe(series_->request_time_per_token,
            (last - request.first_token) / (request.longest_answer - 1));
  }
}

void ServingMetrics::RequestRefused(const absl::Status& why) {
  series_->refused[ReasonOf(why)]->Increment();
}

void ServingMetrics::SetWorkerUp(int rank, bool up) {
  if (rank < 0 || rank >= static_cast<int>(series_->workers.size())) return;
  series_->workers[rank].up->Set(up ? 1 : 0);
}

void ServingMetrics::SetWorkerKvBytes(int rank, int64_t bytes) {
  if (rank < 0 || rank >= static_cast<int>(series_->workers.size())) return;
  series_->workers[rank].kv_bytes->Set(static_cast<double>(bytes));
}

void ServingMetrics::WorkerStepDone(int rank, absl::Duration compute) {
  if (rank < 0 || rank >= static_cast<int>(series_->workers.size())) return;
  Observe(series_->workers[rank].step_compute, compute);
}

std::string ServingMetrics::Text() const {
  std::vector<prometheus::MetricFamily> families = series_->registry.Collect();
  if (series_->vllm_names) {
    const size_t own = families.size();
    for (size_t i = 0; i < own; ++i) {
      const std::string name = families[i].name.substr(sizeof(kPrefix) - 1);
      if (VllmHas(name)) families.push_back(ForVllm(families[i], name));
      if (name == kInterToken) {
        families.push_back(ForVllm(families[i], kInterTokenOfOldVllm));
      }
    }
  }
  return prometheus::TextSerializer().Serialize(families);
}

}  // namespace facet
