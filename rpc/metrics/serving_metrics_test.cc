#include "rpc/metrics/serving_metrics.h"

#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "rpc/metrics/buckets.h"
#include "rpc/metrics/exposition.h"
#include "rpc/metrics/failure_metrics.h"

namespace facet {
namespace {

ServingMetricsOptions Options(bool vllm_names = false) {
  ServingMetricsOptions options;
  options.model_name = "m";
  options.max_model_len = 100;
  options.world_size = 2;
  options.vllm_names = vllm_names;
  options.version = "0.1";
  options.numerics = "f32";
  options.page_tokens = 32;
  options.global_pages = 640;
  options.kv_format = "f32";
  options.prefix_cache = true;
  return options;
}

// The value of facet:NAME{LABELS}, beside model_name.
double Value(const ServingMetrics& metrics, const std::string& name,
             const std::string& labels = "model_name=\"m\"") {
  const Exposition read = ReadExposition(metrics.Text());
  const auto found = read.values.find("facet:" + name + "{" + labels + "}");
  if (found == read.values.end()) {
    ADD_FAILURE() << "no " << name << "{" << labels << "}";
    return -1;
  }
  return found->second;
}

double Labelled(const ServingMetrics& metrics, const std::string& name,
                const std::string& labels) {
  return Value(metrics, name, "model_name=\"m\"," + labels);
}

double Finished(const ServingMetrics& metrics, const std::string& reason) {
  return Value(metrics, "request_success_total",
               "finished_reason=\"" + reason + "\",model_name=\"m\"");
}

TEST(BucketsTest, TokensGoUpToTheContext) {
  EXPECT_EQ(TokenBuckets(1), (Buckets{1}));
  EXPECT_EQ(TokenBuckets(5), (Buckets{1, 2, 5}));
  EXPECT_EQ(TokenBuckets(99), (Buckets{1, 2, 5, 10, 20, 50}));
  EXPECT_EQ(TokenBuckets(100), (Buckets{1, 2, 5, 10, 20, 50, 100}));
  EXPECT_EQ(TokenBuckets(131072).back(), 100000);
  EXPECT_EQ(TokenBuckets(262144).size(), 17u);
}

TEST(ServingMetricsTest, StateShowsTheFullerPool) {
  ServingMetrics metrics(Options());
  EngineState state;
  state.running = 3;
  state.waiting = 7;
  state.sliding = {10, 0, 30};
  state.global = {50, 25, 25};
  metrics.SetState(state);
  EXPECT_EQ(Value(metrics, "num_requests_running"), 3);
  EXPECT_EQ(Value(metrics, "num_requests_waiting"), 7);
  EXPECT_EQ(Value(metrics, "kv_cache_usage_perc"), 0.5);
  const auto pages = [&](const char* pool, const char* page_state) {
    return Value(metrics, "kv_pages",
                 std::string("model_name=\"m\",pool=\"") + pool +
                     "\",state=\"" + page_state + "\"");
  };
  EXPECT_EQ(pages("sliding", "used"), 10);
  EXPECT_EQ(pages("sliding", "free"), 30);
  EXPECT_EQ(pages("global", "cached"), 25);

  metrics.SetState(EngineState());  // no pools, nothing running
  EXPECT_EQ(Value(metrics, "kv_cache_usage_perc"), 0);
  EXPECT_EQ(Value(metrics, "num_requests_running"), 0);
}

TEST(ServingMetricsTest, StepsCountUnderWhatTheyComputed) {
  ServingMetrics metrics(Options());
  StepRecord step;
  step.planning = absl::Microseconds(3);
  step.duration = absl::Milliseconds(20);
  step.prefill_tokens = 60;
  metrics.StepDone(step);
  step.decode_tokens = 4;
  step.generated_tokens = 4;
  step.preemptions = 1;
  metrics.StepDone(step);
  step.prefill_tokens = 0;
  step.preemptions = 0;
  metrics.StepDone(step);
  step.decode_tokens = 0;
  step.generated_tokens = 0;
  metrics.StepDone(step);  // drops sequences alone

  for (const char* phase : {"prefill", "decode", "mixed"}) {
    const std::string label = std::string("phase=\"") + phase + "\"";
    EXPECT_EQ(Labelled(metrics, "step_seconds_count", label), 1) << phase;
    EXPECT_EQ(Labelled(metrics, "step_seconds_sum", label), 0.02) << phase;
  }
  EXPECT_EQ(Labelled(metrics, "step_tokens_sum", "phase=\"prefill\""), 60);
  EXPECT_EQ(Labelled(metrics, "step_tokens_sum", "phase=\"mixed\""), 64);
  EXPECT_EQ(Labelled(metrics, "step_tokens_sum", "phase=\"decode\""), 4);
  EXPECT_EQ(Value(metrics, "iteration_tokens_total_sum"), 128);
  EXPECT_EQ(Value(metrics, "scheduler_seconds_count"), 4);
  EXPECT_EQ(Value(metrics, "generation_tokens_total"), 8);
  EXPECT_EQ(Value(metrics, "num_preemptions_total"), 1);
  EXPECT_EQ(Value(metrics, "recoveries_total"), 0);
  EXPECT_EQ(Value(metrics, "outage_seconds_total"), 0);
  metrics.Recovered(absl::Milliseconds(250));
  EXPECT_EQ(Value(metrics, "recoveries_total"), 1);
  EXPECT_EQ(Value(metrics, "outage_seconds_total"), 0.25);
}

TEST(ServingMetricsTest, ARequestIsMeasuredInItsParts) {
  ServingMetrics metrics(Options());
  metrics.PrefixLookup(40, 32);
  metrics.PromptDone(40, absl::Milliseconds(300));
  metrics.NextToken(absl::Milliseconds(30));
  metrics.NextToken(absl::Milliseconds(50));
  RequestRecord request;
  request.finish = FinishReason::kStop;
  request.prompt_tokens = 40;
  request.generated_tokens = 5;
  request.longest_answer = 3;
  request.n = 2;
  request.max_tokens = 64;
  request.scheduled = absl::Milliseconds(100);
  request.first_token = absl::Milliseconds(300);
  request.last_token = absl::Milliseconds(1300);
  request.end = absl::Milliseconds(1400);
  metrics.RequestDone(request);

  EXPECT_EQ(Value(metrics, "prefix_cache_queries_total"), 40);
  EXPECT_EQ(Value(metrics, "prefix_cache_hits_total"), 32);
  EXPECT_EQ(Value(metrics, "prompt_tokens_total"), 40);
  EXPECT_EQ(Value(metrics, "time_to_first_token_seconds_sum"), 0.3);
  EXPECT_EQ(Value(metrics, "inter_token_latency_seconds_count"), 2);
  EXPECT_EQ(Finished(metrics, "stop"), 1);
  EXPECT_EQ(Finished(metrics, "length"), 0);
  EXPECT_EQ(Value(metrics, "request_prompt_tokens_sum"), 40);
  EXPECT_EQ(Value(metrics, "request_generation_tokens_sum"), 5);
  EXPECT_EQ(Value(metrics, "request_max_num_generation_tokens_sum"), 3);
  EXPECT_EQ(Value(metrics, "request_params_n_sum"), 2);
  EXPECT_EQ(Value(metrics, "request_params_max_tokens_sum"), 64);
  EXPECT_DOUBLE_EQ(Value(metrics, "request_queue_time_seconds_sum"), 0.1);
  EXPECT_DOUBLE_EQ(Value(metrics, "request_prefill_time_seconds_sum"), 0.2);
  EXPECT_DOUBLE_EQ(Value(metrics, "request_decode_time_seconds_sum"), 1.0);
  EXPECT_DOUBLE_EQ(Value(metrics, "request_inference_time_seconds_sum"), 1.2);
  EXPECT_DOUBLE_EQ(Value(metrics, "e2e_request_latency_seconds_sum"), 1.4);
  EXPECT_DOUBLE_EQ(Value(metrics, "request_time_per_output_token_seconds_sum"),
                   0.5);
}

TEST(ServingMetricsTest, ARequestThatNeverRanOnlyWaited) {
  ServingMetrics metrics(Options());
  RequestRecord request;
  request.finish = FinishReason::kCancelled;
  request.prompt_tokens = 9;
  request.end = absl::Seconds(2);
  metrics.RequestDone(request);
  EXPECT_EQ(Finished(metrics, "abort"), 1);
  EXPECT_EQ(Value(metrics, "request_queue_time_seconds_sum"), 2);
  EXPECT_EQ(Value(metrics, "request_prefill_time_seconds_count"), 0);
  EXPECT_EQ(Value(metrics, "request_decode_time_seconds_count"), 0);
  EXPECT_EQ(Value(metrics, "request_inference_time_seconds_count"), 0);
  EXPECT_EQ(Value(metrics, "request_params_max_tokens_count"), 0);
}

TEST(ServingMetricsTest, RefusalsShowTheirReason) {
  ServingMetrics metrics(Options());
  metrics.RequestRefused(absl::ResourceExhaustedError(""));
  metrics.RequestRefused(absl::ResourceExhaustedError(""));
  metrics.RequestRefused(absl::InvalidArgumentError(""));
  metrics.RequestRefused(absl::UnavailableError(""));
  metrics.RequestRefused(absl::DeadlineExceededError(""));
  metrics.RequestRefused(absl::InternalError(""));
  const std::map<std::string, double> expected = {{"queue_full", 2},
                                                  {"invalid", 1},
                                                  {"unavailable", 1},
                                                  {"deadline", 1},
                                                  {"other", 1}};
  for (const auto& [reason, count] : expected) {
    EXPECT_EQ(Labelled(metrics, "requests_refused_total",
                       "reason=\"" + reason + "\""),
              count)
        << reason;
  }
}

TEST(ServingMetricsTest, WorkersOutsideTheWorldAddNoSeries) {
  ServingMetrics metrics(Options());
  const size_t before = ReadExposition(metrics.Text()).values.size();
  for (const int rank : {-1, 0, 1, 2, 1000}) {
    metrics.SetWorkerUp(rank, rank != 1);
    metrics.SetWorkerKvBytes(rank, 1 << 20);
    metrics.WorkerStepDone(rank, absl::Milliseconds(4));
  }
  EXPECT_EQ(ReadExposition(metrics.Text()).values.size(), before);
  EXPECT_EQ(Labelled(metrics, "worker_up", "rank=\"0\""), 1);
  EXPECT_EQ(Labelled(metrics, "worker_up", "rank=\"1\""), 0);
  EXPECT_EQ(Labelled(metrics, "worker_kv_bytes", "rank=\"1\""), 1 << 20);
  EXPECT_EQ(
      Labelled(metrics, "worker_step_compute_seconds_count", "rank=\"0\""), 1);
}

TEST(ServingMetricsTest, ModelNamesMayHoldAnyText) {
  ServingMetricsOptions options = Options();
  options.model_name = "a \"b\"\\c\nd}";
  const Exposition read = ReadExposition(ServingMetrics(options).Text());
  EXPECT_EQ(read.values.count("facet:num_requests_running{model_name=\"a "
                              "\\\"b\\\"\\\\c\\nd}\"}"),
            1u);
}

// Each name under `prefix`, with type and labels.
struct Metric {
  std::string type;
  std::set<std::string> labels;
  friend bool operator==(const Metric& a, const Metric& b) {
    return a.type == b.type && a.labels == b.labels;
  }
  friend std::ostream& operator<<(std::ostream& out, const Metric& m) {
    out << m.type << "{";
    for (const std::string& label : m.labels) out << " " << label;
    return out << " }";
  }
};
using Table = std::map<std::string, Metric>;

Table ShownUnder(const std::string& prefix, const Exposition& read) {
  Table result;
  for (const auto& [name, type] : read.types) {
    if (name.rfind(prefix, 0) != 0) continue;
    result[name.substr(prefix.size())] = {type, read.labels.at(name)};
  }
  return result;
}

TEST(ServingMetricsTest, VllmNamesShowTheSameValues) {
  ServingMetrics metrics(Options(/*vllm_names=*/true));
  metrics.NextToken(absl::Milliseconds(30));
  EngineState state;
  state.running = 3;
  metrics.SetState(state);
  const Exposition read = ReadExposition(metrics.Text());
  const Table facet = ShownUnder("facet:", read);
  for (auto& [name, metric] : ShownUnder("vllm:", read)) {
    Metric same = metric;
    EXPECT_EQ(same.labels.erase("engine"), 1u) << name;
    const std::string ours = name == "time_per_output_token_seconds"
                                 ? "inter_token_latency_seconds"
                                 : name;
    ASSERT_EQ(facet.count(ours), 1u) << name;
    EXPECT_EQ(facet.at(ours), same) << name;
  }
  const auto vllm = [&](const std::string& name) {
    return read.values.at("vllm:" + name + "{engine=\"0\",model_name=\"m\"}");
  };
  EXPECT_EQ(vllm("num_requests_running"), 3);
  EXPECT_EQ(vllm("inter_token_latency_seconds_sum"), 0.03);
  EXPECT_EQ(vllm("time_per_output_token_seconds_sum"), 0.03);

  const Exposition without = ReadExposition(ServingMetrics(Options()).Text());
  EXPECT_TRUE(ShownUnder("vllm:", without).empty());
}

std::vector<std::string> Cells(const std::string& row) {
  std::vector<std::string> cells;
  std::istringstream in(row.substr(1));
  for (std::string cell; std::getline(in, cell, '|');) cells.push_back(cell);
  return cells;
}

// The words of `cell` between backticks.
std::set<std::string> Quoted(const std::string& cell) {
  std::set<std::string> words;
  std::istringstream in(cell);
  std::string word;
  for (bool quoted = false; std::getline(in, word, '`'); quoted = !quoted) {
    if (quoted) words.insert(word);
  }
  return words;
}

TEST(ServingMetricsTest, TheDocumentedTableIsWhatIsShown) {
  std::ifstream page("docs/metrics.md");
  ASSERT_TRUE(page) << "docs/metrics.md";
  Table documented, documented_vllm;
  for (std::string line; std::getline(page, line);) {
    if (line.rfind("| `", 0) != 0) continue;
    const std::vector<std::string> cells = Cells(line);
    ASSERT_EQ(cells.size(), 5u) << line;
    const std::string name = *Quoted(cells[0]).begin();
    Metric metric;
    std::istringstream(cells[1]) >> metric.type;
    metric.labels = Quoted(cells[2]);
    metric.labels.insert("model_name");
    EXPECT_TRUE(documented.emplace(name, metric).second) << "twice: " << name;
    if (cells[3] == " yes ") {
      metric.labels.insert("engine");
      documented_vllm[name] = metric;
    }
  }
  const Exposition read =
      ReadExposition(ServingMetrics(Options(/*vllm_names=*/true)).Text() +
                     FailureMetrics("m").Text());
  EXPECT_EQ(documented, ShownUnder("facet:", read));
  Table vllm = ShownUnder("vllm:", read);
  EXPECT_EQ(vllm.erase("time_per_output_token_seconds"), 1u);
  EXPECT_EQ(documented_vllm, vllm);
}

TEST(FailureMetricsTest, EachLossIsCountedWithTheTimeItTookToBeSeen) {
  FailureMetrics metrics("m");
  metrics.WorkersLost(absl::Milliseconds(1500));
  const Exposition read = ReadExposition(metrics.Text());
  const std::string name = "facet:failure_detection_seconds";
  EXPECT_EQ(read.values.at(name + "_count{model_name=\"m\"}"), 1);
  EXPECT_EQ(read.values.at(name + "_sum{model_name=\"m\"}"), 1.5);
}

TEST(ServingMetricsTest, NothingIsLostBetweenThreads) {
  ServingMetrics metrics(Options());
  constexpr int kThreads = 4, kCalls = 2000;
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&metrics] {
      for (int call = 0; call < kCalls; ++call) {
        metrics.NextToken(absl::Milliseconds(1));
        metrics.PrefixLookup(3, 1);
        if (call % 500 == 0) metrics.Text();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(Value(metrics, "inter_token_latency_seconds_count"),
            kThreads * kCalls);
  EXPECT_EQ(Value(metrics, "prefix_cache_queries_total"),
            3 * kThreads * kCalls);
}

}  // namespace
}  // namespace facet
