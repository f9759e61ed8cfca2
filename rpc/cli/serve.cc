// `facet serve`: a coordinator that serves a model.
#include <sys/resource.h>
#include <unistd.h>

#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <mutex>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "kernels/base/status_macros.h"
#include "rpc/access/door_keeper.h"
#include "rpc/access/tls_files.h"
#include "rpc/cli/byte_size.h"
#include "rpc/cli/duration_flag.h"
#include "rpc/cli/embedded_model.h"
#include "rpc/cli/group_environment.h"
#include "rpc/cli/http_front.h"
#include "rpc/cli/model_flags.h"
#include "rpc/cli/verb.h"
#include "rpc/control/build_id.h"
#include "rpc/control/condition_slot.h"
#include "rpc/control/listen_address.h"
#include "rpc/coordinator/inference_server.h"
#include "rpc/health/health_port.h"
#include "rpc/trace/span_exporter.h"
#include "rpc/worker/signal_watcher.h"

namespace facet {
namespace {

// Without a round of the loop that watches the model for so long, what it asks
// hangs.
constexpr absl::Duration kStuck = absl::Seconds(60);

struct ServeFlags {
  ModelFlags model;
  std::string http = "127.0.0.1:8000";
  std::vector<std::string> model_names;
  std::vector<std::string> cors_origins;
  std::string access_log = "stderr";
  std::string max_body = "4M";
  int max_connections = 4096;
  std::string api_keys;
  bool open_metrics = false;
  std::string otlp_endpoint;
  TlsFiles tls;
  std::string grpc = "127.0.0.1:8001";
  std::string control = "127.0.0.1:8002";
  std::string health = "off";
  std::optional<int> expect_workers;
  std::optional<int> workers_per_pod;
  std::string grace = "30s";
  std::string join_timeout = "5m";
  TrustFiles trust;
  bool insecure_control = false;
  std::string heartbeat_interval = "1s";
  std::string heartbeat_timeout = "10s";
  std::string stall_timeout = "2m";
  std::string step_timeout = "10m";
  std::string recovery_timeout = "2m";
  std::string shrink_after;
  std::string resume_time = "30s";
  std::string keep_answers = "10m";
  std::string keep_answer_bytes = "64M";
  std::string journal;
  std::string journal_size = "64M";
  std::string journal_sync = "batch";
  int max_sequences = 64;
  int max_queue = 1024;
  bool no_prefix_cache = false;
  bool vllm_metrics = false;
};

// Between the thread that hears of signals and the one that serves.
class StopRequest {
 public:
  // The first signal asks the serving thread to stop, or ends the process while
  // the model is still loading. The second ends it in any case.
  void Signal(const std::string& name) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!serving_) std::_Exit(kExitDone);
    if (asked_) {
      std::fprintf(stderr, "facet serve: %s again, leaving at once\n",
                   name.c_str());
      std::_Exit(kExitFailed);
    }
    asked_ = true;
    changed_.notify_all();
  }

  void BeginServing() {
    const std::lock_guard<std::mutex> lock(mutex_);
    serving_ = true;
  }

  // True once asked.
  bool WaitFor(absl::Duration duration) {
    std::unique_lock<std::mutex> lock(mutex_);
    return changed_.wait_for(lock, absl::ToChronoMilliseconds(duration),
                             [this] { return asked_; });
  }

  bool asked() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return asked_;
  }

 private:
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  bool serving_ = false;
  bool asked_ = false;
};

void PrintScreen(const ServeFlags& flags, const NumericsOptions& numerics,
                 EmbeddedModel* model) {
  const ShardPlan& plan = model->cluster().plan();
  const ModelConfig& config = model->cluster().model();
  const KvPoolSizes pools = model->cluster().executor().pools();
  const int element = flags.model.kv_format == "f32" ? 4 : 2;
  int64_t weights = 0, sliding = 0, global = 0;
  for (int rank = 0; rank < plan.world_size(); ++rank) {
    weights += plan.WeightBytes(config, rank);
    sliding += plan.KvBytesPerToken(config, rank, LayerKind::kSliding, element);
    global += plan.KvBytesPerToken(config, rank, LayerKind::kGlobal, element);
  }
  const auto tokens = [&](int32_t pages) {
    return int64_t{pages} * pools.page_tokens;
  };
  const auto line = [](const char* name, const std::string& value) {
    std::fprintf(stderr, "  %-10s %s\n", name, value.c_str());
  };
  line("model", absl::StrFormat("%s, %d layers, %s of weights read",
                                model->front_door().Info().name,
                                config.num_layers(), FormatByteSize(weights)));
  line("plan",
       absl::StrFormat("%d workers = pp %d x tp %d, ep %d", plan.world_size(),
                       plan.pp_size(), plan.tp_size(), plan.ep_size()));
  line("numerics", DescribeNumerics(numerics));
  line("K/V", absl::StrFormat("%s, %s on each worker", flags.model.kv_format,
                              flags.model.kv_memory));
  line("", absl::StrFormat("global layers   %s per token, %d tokens fit",
                           FormatByteSize(global), tokens(pools.global_pages)));
  line("", absl::StrFormat(
               "sliding layers  %s per token, %d tokens fit; a sequence keeps "
               "its last %d",
               FormatByteSize(sliding), tokens(pools.sliding_pages),
               config.sliding_window));
  line("limits",
       absl::StrFormat("%d sequences at once, %d tokens of context",
                       flags.max_sequences, config.max_position_embeddings));
  if (!model->cluster().control_address().empty()) {
    line("control", model->cluster().control_address());
  }
}

// --workers-per-pod as --expect-workers.
absl::Status CountPods(ServeFlags* flags) {
  if (!flags->workers_per_pod.has_value()) return absl::OkStatus();
  if (flags->expect_workers.has_value()) {
    return absl::InvalidArgumentError(
        "--workers-per-pod and --expect-workers exclude each other");
  }
  if (*flags->workers_per_pod < 1) {
    return absl::InvalidArgumentError("--workers-per-pod: at least 1");
  }
  const absl::StatusOr<GroupEnvironment> group = ReadGroupEnvironment();
  if (!group.ok()) return Annotate(group.status(), "--workers-per-pod");
  flags->expect_workers = *flags->workers_per_pod * group->size;
  return absl::OkStatus();
}

void Report(const std::string& line) {
  std::fprintf(
      stderr, "%s facet serve: %s\n",
      absl::FormatTime("%H:%M:%E3S", absl::Now(), absl::LocalTimeZone())
          .c_str(),
      line.c_str());
}

absl::StatusOr<std::optional<JournalOptions>> MakeJournal(
    const ServeFlags& flags) {
  if (flags.journal.empty()) return std::nullopt;
  JournalOptions options;
  options.path = flags.journal;
  options.report = Report;
  FACET_ASSIGN_OR_RETURN(options.max_bytes, ParseByteSize(flags.journal_size));
  if (options.max_bytes < (1 << 16)) {
    return absl::InvalidArgumentError("--journal-size: at least 64K");
  }
  const auto sync = ParseJournalSync(flags.journal_sync);
  if (!sync.ok()) return Annotate(sync.status(), "--journal-sync");
  options.sync = *sync;
  return options;
}

absl::StatusOr<EmbeddedModelOptions> MakeOptions(const ServeFlags& flags) {
  ModelFlags model_flags = flags.model;
  if (flags.expect_workers.has_value()) {
    if (model_flags.parallelism.workers.has_value()) {
      return absl::InvalidArgumentError(
          "--workers and --expect-workers exclude each other: workers are "
          "started here, or join from elsewhere");
    }
    if (absl::EndsWith(model_flags.kv_memory, "%")) {
      return absl::InvalidArgumentError(
          "--kv-memory: a share is one of this machine's memory, and workers "
          "join from elsewhere; give bytes, such as 2G");
    }
    model_flags.parallelism.workers = flags.expect_workers;
  }
  EmbeddedModelOptions options;
  FACET_ASSIGN_OR_RETURN(options.cluster, MakeClusterOptions(model_flags));
  ClusterOptions& cluster = options.cluster;
  cluster.remote_workers = flags.expect_workers.has_value();
  cluster.control_address = flags.control;
  if (flags.max_sequences < 1) {
    return absl::InvalidArgumentError("--max-sequences: at least 1");
  }
  if (flags.max_queue < 1) {
    return absl::InvalidArgumentError("--max-queue: at least 1");
  }
  cluster.max_sequences = flags.max_sequences;
  if (const char* token = std::getenv("FACET_JOIN_TOKEN")) {
    cluster.join_token = token;
  }
  FACET_RETURN_IF_ERROR(ParseDurationFlag("--join-timeout", flags.join_timeout,
                                          &cluster.join_timeout));
  FACET_RETURN_IF_ERROR(ParseDurationFlag("--heartbeat-interval",
                                          flags.heartbeat_interval,
                                          &cluster.heartbeat_interval));
  FACET_RETURN_IF_ERROR(ParseDurationFlag("--heartbeat-timeout",
                                          flags.heartbeat_timeout,
                                          &cluster.heartbeat_timeout));
  FACET_RETURN_IF_ERROR(ParseDurationFlag(
      "--recovery-timeout", flags.recovery_timeout, &options.recovery_timeout));
  FACET_RETURN_IF_ERROR(ParseDurationFlag("--resume-time", flags.resume_time,
                                          &options.ledger.resume_time));
  FACET_RETURN_IF_ERROR(ParseDurationFlag("--keep-answers", flags.keep_answers,
                                          &options.ledger.keep_time));
  FACET_ASSIGN_OR_RETURN(options.ledger.max_bytes,
                         ParseByteSize(flags.keep_answer_bytes));
  FACET_RETURN_IF_ERROR(ParseDurationFlag(
      "--stall-timeout", flags.stall_timeout, &cluster.stall_timeout));
  FACET_RETURN_IF_ERROR(ParseDurationFlag("--step-timeout", flags.step_timeout,
                                          &cluster.step_timeout));
  if (cluster.stall_timeout < 3 * cluster.heartbeat_interval ||
      cluster.step_timeout < cluster.stall_timeout ||
      cluster.step_timeout > absl::Hours(24)) {
    return absl::InvalidArgumentError(
        "--stall-timeout: at least three times --heartbeat-interval, and at "
        "most --step-timeout, which is at most 24h");
  }
  if (cluster.heartbeat_interval < absl::Milliseconds(10) ||
      cluster.heartbeat_timeout < 3 * cluster.heartbeat_interval) {
    return absl::InvalidArgumentError(
        "--heartbeat-timeout: at least three times --heartbeat-interval, which "
        "is at least 10ms");
  }
  if (!flags.shrink_after.empty() && !cluster.remote_workers) {
    return absl::InvalidArgumentError(
        "--shrink-after needs --expect-workers: workers that are started here "
        "are started again");
  }
  if (flags.shrink_after.empty()) {
    cluster.shrink_after = options.recovery_timeout / 2;
  } else if (flags.shrink_after != "never") {
    FACET_RETURN_IF_ERROR(ParseDurationFlag(
        "--shrink-after", flags.shrink_after, &cluster.shrink_after));
    if (cluster.shrink_after >= options.recovery_timeout) {
      return absl::InvalidArgumentError(
          "--shrink-after: shorter than --recovery-timeout, when streams end");
    }
  }
  cluster.trust = flags.trust;
  FACET_ASSIGN_OR_RETURN(const HostPort control, ParseHostPort(flags.control));
  if (!IsLoopback(control.host) && flags.trust.empty() &&
      !flags.insecure_control) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--control: ", flags.control,
        " can be reached from other machines, and whoever reaches it could "
        "pass for a worker: give --control-tls-ca, --control-tls-cert and "
        "--control-tls-key (see "
        "deploy/certificates), or --insecure-control on a network of your "
        "own"));
  }
  cluster.report = Report;
  FACET_ASSIGN_OR_RETURN(options.journal, MakeJournal(flags));
  options.chat_format = flags.model.chat_format;
  options.max_queue = flags.max_queue;
  options.prefix_cache = !flags.no_prefix_cache;
  options.always_report_loading = true;
  options.vllm_metrics = flags.vllm_metrics;
  return options;
}

// What is told of files that were replaced while the server runs.
std::function<void(const absl::Status&)> TellReload(const char* what) {
  return [what](const absl::Status& status) {
    std::fprintf(stderr, "%s: %s\n", what,
                 status.ok() ? "read again"
                             : absl::StrCat("the old ones stay in use: ",
                                            status.message())
                                   .c_str());
  };
}

absl::StatusOr<TlsFiles> MakeTls(const ServeFlags& flags) {
  const TlsFiles& tls = flags.tls;
  if (tls.certificate.empty() != tls.key.empty()) {
    return absl::InvalidArgumentError(
        "--tls-cert and --tls-key: give both, or neither for no TLS");
  }
  if (!tls.client_ca.empty() && !tls.used()) {
    return absl::InvalidArgumentError(
        "--tls-client-ca needs --tls-cert and --tls-key");
  }
  return tls;
}

absl::StatusOr<HttpFrontOptions> MakeHttpOptions(const ServeFlags& flags,
                                                 const StopRequest* stop,
                                                 DoorKeeper* keeper,
                                                 SpanSink* spans) {
  HttpFrontOptions options;
  options.address = flags.http;
  options.gateway.keeper = keeper;
  options.gateway.spans = spans;
  options.gateway.model_names = flags.model_names;
  options.gateway.allowed_origins = flags.cors_origins;
  options.open_metrics = flags.open_metrics;
  options.stopping = [stop] { return stop->asked(); };
  options.server.max_connections = flags.max_connections;
  FACET_ASSIGN_OR_RETURN(const int64_t max_body, ParseByteSize(flags.max_body));
  options.server.max_body_bytes = static_cast<size_t>(max_body);
  FACET_ASSIGN_OR_RETURN(options.server.tls, MakeTls(flags));
  options.server.on_tls_reload = TellReload("certificates of HTTP");
  return options;
}

// A connection is a file: without this, a thousand are the end.
void AllowManyFiles() {
  rlimit limit = {};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

absl::Status Serve(ServeFlags flags) {
  FACET_RETURN_IF_ERROR(CountPods(&flags));
  absl::Duration grace;
  FACET_RETURN_IF_ERROR(ParseDurationFlag("--grace", flags.grace, &grace));
  ConditionSlot forming;
  FACET_ASSIGN_OR_RETURN(EmbeddedModelOptions options, MakeOptions(flags));
  options.cluster.forming = &forming;
  FACET_ASSIGN_OR_RETURN(const TlsFiles tls, MakeTls(flags));
  AllowManyFiles();
  // Before the weights are read, since that may take minutes.
  FACET_RETURN_IF_ERROR(Annotate(CheckCanListen(flags.grpc), "--grpc"));
  const int world =
      options.cluster.parallelism.pp_size * options.cluster.parallelism.tp_size;
  if (options.cluster.remote_workers || world > 1) {
    FACET_RETURN_IF_ERROR(Annotate(CheckCanListen(flags.control), "--control"));
  }
  if (options.cluster.remote_workers) {
    std::fprintf(stderr, "waiting for %d workers at %s\n", world,
                 flags.control.c_str());
  }

  StopRequest stop;
  SignalWatcher signals(
      [&stop](const std::string& name) { stop.Signal(name); });
  std::unique_ptr<DoorKeeper> keeper;
  if (!flags.api_keys.empty()) {
    DoorKeeperOptions keys;
    keys.on_reload = TellReload("API keys");
    FACET_ASSIGN_OR_RETURN(keeper, DoorKeeper::Open(flags.api_keys, keys));
  }
  std::unique_ptr<SpanSink> spans;
  if (!flags.otlp_endpoint.empty()) {
    auto exporter = MakeSpanExporter(flags.otlp_endpoint, kVersion);
    if (!exporter.ok()) return Annotate(exporter.status(), "--otlp-endpoint");
    spans = *std::move(exporter);
  }
  auto log = AccessLog::Open(flags.access_log);
  if (!log.ok()) return Annotate(log.status(), "--access-log");
  std::unique_ptr<EmbeddedModel> model;  // outlives who asks it
  std::unique_ptr<HttpFront> http;
  if (flags.http != "off") {
    FACET_ASSIGN_OR_RETURN(
        HttpFrontOptions http_options,
        MakeHttpOptions(flags, &stop, keeper.get(), spans.get()));
    http_options.numerics = options.cluster.numerics;
    http_options.forming = &forming;
    auto started = HttpFront::Start(http_options, log->get());
    if (!started.ok()) return Annotate(started.status(), "--http");
    http = *std::move(started);
  }
  std::unique_ptr<HealthPort> probes;  // before the model: it is alive already
  if (flags.health != "off") {
    absl::StatusOr<std::unique_ptr<HealthPort>> started =
        HealthPort::Start(flags.health);
    if (!started.ok()) return Annotate(started.status(), "--health");
    probes = *std::move(started);
  }
  FACET_ASSIGN_OR_RETURN(model, EmbeddedModel::Start(options));
  InferenceServiceOptions service;
  service.keeper = keeper.get();
  service.spans = spans.get();
  service.log = log->get();
  service.ledger = &model->ledger();
  FACET_ASSIGN_OR_RETURN(
      const auto server,
      InferenceServer::Start(flags.grpc, &model->front_door(), service, tls));
  if (http != nullptr) http->Serve(model.get());
  PrintScreen(flags, options.cluster.numerics, model.get());
  stop.BeginServing();
  std::printf("ready http=%s grpc=%s\n",
              http == nullptr ? "off" : http->address().c_str(),
              server->address().c_str());
  std::fflush(stdout);

  // A lost worker is replaced; what cannot be mended ends the server.
  absl::Status health;
  while ((health.ok() || absl::IsUnavailable(health)) &&
         !stop.WaitFor(absl::Milliseconds(100))) {
    health = HealthOf(*model);
    server->SetServing(health.ok());
    if (probes == nullptr) continue;
    probes->SetReady(health.ok());
    probes->Beat(kStuck);
  }
  server->SetServing(false);
  if (probes != nullptr) {
    probes->SetReady(false);
    probes->Beat(absl::InfiniteDuration());  // draining has an end of its own
  }
  model->ledger().LeaveUnfinished();
  if (stop.asked()) {
    health = absl::OkStatus();
    std::fprintf(stderr, "stopping, up to %s for what runs\n",
                 absl::FormatDuration(grace).c_str());
    model->engine().Drain(grace);
  } else {
    // What runs ends with the step that fails.
    model->engine().Drain(absl::Seconds(1));
  }
  server->Shutdown(absl::Seconds(2));
  if (http != nullptr) http->Shutdown(absl::Seconds(1));
  return health;
}

}  // namespace

int RunServe(int argc, char** argv) {
  ServeFlags flags;
  const auto app = MakeApp(
      "serve",
      "Serves a model to clients. Prints one line, `ready http=... grpc=...`, "
      "when it does.\nWorkers run here (--workers) or join from elsewhere "
      "(--expect-workers, see\n`facet worker`). SIGTERM and Ctrl-C finish what "
      "runs, within --grace.",
      "  facet serve --model DIR\n"
      "  facet serve --model DIR --workers=2 --kv-memory=2G\n"
      "  facet serve --model DIR --expect-workers=4 --tp=2 "
      "--control=0.0.0.0:8002\n");
  app->add_option("--grpc", flags.grpc, "HOST:PORT for clients")
      ->capture_default_str();
  app->add_option("--control", flags.control, "HOST:PORT for workers")
      ->capture_default_str();
  app->add_option("--http", flags.http,
                  "HOST:PORT of the OpenAI API, /metrics, /healthz, /readyz "
                  "and /version; or off")
      ->capture_default_str();
  app->add_option("--model-name", flags.model_names,
                  "What clients call the model, once or several times; absent: "
                  "its directory's name");
  app->add_option("--access-log", flags.access_log,
                  "Where a line of JSON per request goes: stderr, a file, or "
                  "off")
      ->capture_default_str();
  app->add_option("--cors-origin", flags.cors_origins,
                  "An origin whose pages may call the API, such as "
                  "https://example.org, or *; absent: none");
  app->add_option("--max-body", flags.max_body,
                  "Most bytes of an HTTP request's body")
      ->capture_default_str();
  app->add_option("--max-connections", flags.max_connections,
                  "Most HTTP connections at once; more are refused")
      ->capture_default_str();
  app->add_option("--api-keys", flags.api_keys,
                  "File of API keys and their limits (docs/access.md), read "
                  "again when it changes; absent: nobody needs one");
  app->add_option("--otlp-endpoint", flags.otlp_endpoint,
                  "http://HOST:PORT/PATH of a collector that takes "
                  "OpenTelemetry's traces as JSON; absent: none");
  app->add_flag("--open-metrics", flags.open_metrics,
                "Show /metrics without an API key");
  app->add_option("--tls-cert", flags.tls.certificate,
                  "Certificate chain in PEM, for HTTP and gRPC; read again "
                  "when it changes");
  app->add_option("--tls-key", flags.tls.key, "Its private key in PEM");
  app->add_option("--tls-client-ca", flags.tls.client_ca,
                  "Authorities in PEM: clients must show a certificate of "
                  "theirs");
  app->add_flag("--vllm-metrics", flags.vllm_metrics,
                "Show metrics under vLLM's names too, for dashboards that know "
                "them");
  app->add_option("--health", flags.health,
                  "HOST:PORT of a gRPC health service for probes, which tells "
                  "liveness and readiness apart; or off")
      ->capture_default_str();
  app->add_option("--workers-per-pod", flags.workers_per_pod,
                  "In a LeaderWorkerSet: wait for this many workers of each of "
                  "LWS_GROUP_SIZE pods");
  app->add_option("--expect-workers", flags.expect_workers,
                  "Wait for this many `facet worker` to join");
  app->add_option("--join-timeout", flags.join_timeout,
                  "How long to wait for them")
      ->capture_default_str();
  app->add_option("--grace", flags.grace,
                  "How long to finish what runs when told to stop")
      ->capture_default_str();
  app->add_option("--control-tls-ca", flags.trust.authority,
                  "The cluster's authority, a PEM file; with "
                  "--control-tls-cert and --control-tls-key, and then every "
                  "worker has to show a certificate "
                  "of it");
  app->add_option("--control-tls-cert", flags.trust.certificate,
                  "The coordinator's certificate");
  app->add_option("--control-tls-key", flags.trust.key, "And its key");
  app->add_flag("--insecure-control", flags.insecure_control,
                "Let workers of other machines join without certificates: "
                "whoever reaches --control can read prompts and forge answers");
  app->add_option("--heartbeat-interval", flags.heartbeat_interval,
                  "How often workers and coordinator say that they are there")
      ->capture_default_str();
  app->add_option("--heartbeat-timeout", flags.heartbeat_timeout,
                  "A worker silent for so long is replaced")
      ->capture_default_str();
  app->add_option("--stall-timeout", flags.stall_timeout,
                  "A worker that says it is there, but makes no progress in a "
                  "step for so long while others wait, is replaced; one that "
                  "is slow is not. Where all wait for each other, all form a "
                  "new cluster. Above what one layer ever takes")
      ->capture_default_str();
  app->add_option("--step-timeout", flags.step_timeout,
                  "A step without a result for so long is given up, and the "
                  "worker it waits for replaced, however it moves; so is one "
                  "whose loading shows no progress for so long")
      ->capture_default_str();
  app->add_option("--recovery-timeout", flags.recovery_timeout,
                  "How long streams wait for lost workers to be replaced")
      ->capture_default_str();
  app->add_option("--shrink-after", flags.shrink_after,
                  "With --expect-workers: go on with those that are left when "
                  "a lost worker has not been replaced for so long, as far as "
                  "the model and as many K/V pages fit their machines, and "
                  "with all when it comes back. Streams keep their tokens. "
                  "\"never\" waits for it [half of --recovery-timeout]");
  app->add_option("--resume-time", flags.resume_time,
                  "How long a request that has a key (Idempotency-Key) goes on "
                  "when its client is gone")
      ->capture_default_str();
  app->add_option("--keep-answers", flags.keep_answers,
                  "How long its answer is kept for who asks again")
      ->capture_default_str();
  app->add_option("--keep-answer-bytes", flags.keep_answer_bytes,
                  "Most memory for such answers, of at most 1024 requests")
      ->capture_default_str();
  app->add_option("--journal", flags.journal,
                  "File in which requests that have a key are written down, so "
                  "that a server that is started after this one died goes on "
                  "with them; absent: none")
      ->capture_default_str();
  app->add_option("--journal-size", flags.journal_size,
                  "Most bytes of that file")
      ->capture_default_str();
  app->add_option("--journal-sync", flags.journal_sync,
                  "When it is forced onto the disk: never, batch (every "
                  "second) or always. What survives the process does not "
                  "depend on it, what survives the machine does")
      ->capture_default_str();
  app->add_option("--max-sequences", flags.max_sequences,
                  "Answers at once; more wait")
      ->capture_default_str();
  app->add_option("--max-queue", flags.max_queue,
                  "Requests that may wait; more are refused")
      ->capture_default_str();
  app->add_flag("--no-prefix-cache", flags.no_prefix_cache,
                "Compute every prompt anew; the answers are the same");
  AddModelFlags(app.get(), &flags.model, /*required=*/true);
  AddConfigFlag(app.get());
  return RunVerb(app.get(), argc, argv, [&] { return Serve(flags); });
}

}  // namespace facet
