#include "rpc/cli/bench/measure.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "kernels/base/thread_pool.h"
#include "kernels/base/topology.h"
#include "rpc/cli/bench/bench_cluster.h"
#include "rpc/cli/bench/busy_processes.h"
#include "rpc/cli/bench/kv_room.h"
#include "rpc/cli/bench/machine_info.h"
#include "rpc/cli/bench/process_memory.h"
#include "runtime/plan/work.h"

namespace facet {
namespace {

using Clock = std::chrono::steady_clock;

double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Enough for every expert to be among the weights.
constexpr int64_t kManyTokens = 1 << 20;
constexpr int kAllReduces = 2000;
constexpr int kFirstTokenPrompt = 4;

}  // namespace

absl::Status CheckBenchOptions(const BenchOptions& options) {
  const auto positive = [](const char* flag, int64_t value) {
    if (value >= 1) return absl::OkStatus();
    return absl::InvalidArgumentError(
        absl::StrCat(flag, ": ", value, " is out of range, at least 1"));
  };
  FACET_RETURN_IF_ERROR(positive("--repeat", options.repeat));
  FACET_RETURN_IF_ERROR(positive("--decode", options.decode));
  FACET_RETURN_IF_ERROR(positive("--batch-prompt", options.batch_prompt));
  FACET_RETURN_IF_ERROR(positive("--context", options.context));
  for (int tokens : options.prompts) {
    FACET_RETURN_IF_ERROR(positive("--prompt", tokens));
  }
  for (int batch : options.batches) {
    FACET_RETURN_IF_ERROR(positive("--batch", batch));
    if (batch > options.cluster.chunk_tokens) {
      return absl::InvalidArgumentError(absl::StrCat(
          "--batch: ", batch, " sequences do not fit into --chunk=",
          options.cluster.chunk_tokens, " tokens"));
    }
  }
  return absl::OkStatus();
}

DecodeShape DecodeShapeOf(const BenchOptions& options, int batch) {
  DecodeShape shape;
  shape.batch = batch;
  shape.repeat = options.repeat;
  shape.prompt = batch == 1 && !options.prompts.empty() ? options.prompts[0]
                                                        : options.batch_prompt;
  shape.steps = batch == 1 ? options.decode : (options.decode + 3) / 4;
  return shape;
}

ClusterOptions WithRoom(const BenchOptions& options, const ModelConfig& model) {
  ClusterOptions cluster = options.cluster;
  cluster.max_sequences = 64;
  int64_t positions = 1;
  for (int tokens : options.prompts) {
    positions = std::max<int64_t>(positions, tokens + 1);
  }
  for (int batch : options.batches) {
    cluster.max_sequences = std::max(cluster.max_sequences, batch);
    const DecodeShape shape = DecodeShapeOf(options, batch);
    const int64_t each = MostPositions(shape, cluster.chunk_tokens);
    // The last page of each is not full.
    positions = std::max(positions, batch * (each + cluster.page_tokens));
  }
  if (!options.enlarge_kv) return cluster;
  cluster.kv_bytes_per_worker =
      std::max(cluster.kv_bytes_per_worker,
               KvBytesForPositions(model, cluster, positions));
  return cluster;
}

namespace {

absl::StatusOr<LoadRuns> MeasureLoads(const BenchOptions& options,
                                      const ClusterOptions& cluster) {
  LoadRuns runs;
  for (int i = 0; i < options.repeat; ++i) {
    if (options.cold) {
      DropFromPageCache(cluster.model_directory);
      FACET_ASSIGN_OR_RETURN(const double seconds,
                             TimeReadingFiles(cluster.model_directory));
      runs.disk_read_s.push_back(seconds);
      DropFromPageCache(cluster.model_directory);
    }
    if (i == 0) {
      FACET_ASSIGN_OR_RETURN(runs.cache,
                             ReadPageCacheState(cluster.model_directory));
    }
    const Clock::time_point start = Clock::now();
    FACET_ASSIGN_OR_RETURN(const std::unique_ptr<BenchCluster> running,
                           BenchCluster::Start(cluster));
    runs.ready_s.push_back(SecondsSince(start));
    FACET_RETURN_IF_ERROR(running->RunPrompt(kFirstTokenPrompt).status());
    runs.first_token_s.push_back(SecondsSince(start));
    FACET_RETURN_IF_ERROR(running->Shutdown());
  }
  return runs;
}

absl::StatusOr<AllReduceRuns> MeasureAllReduce(const ModelConfig& model) {
  AllReduceRuns runs;
  runs.bytes = model.hidden_size * int64_t{sizeof(float)};
  FACET_ASSIGN_OR_RETURN(runs.measured,
                         TimeAllReduce(model.hidden_size, kAllReduces));
  runs.bare = TimeBareExchange(model.hidden_size, kAllReduces);
  return runs;
}

absl::StatusOr<MemoryUse> MeasureMemory(const BenchCluster& cluster,
                                        const ModelConfig& model) {
  std::vector<pid_t> workers = {getpid()};
  if (cluster.plan().world_size() > 1) workers = ChildProcesses();
  MemoryUse use;
  use.processes = static_cast<int>(workers.size());
  for (pid_t worker : workers) {
    FACET_ASSIGN_OR_RETURN(const ProcessMemory memory,
                           ReadProcessMemory(worker));
    use.pss_bytes += memory.pss_bytes;
    use.anonymous_bytes += memory.anonymous_bytes;
  }
  use.weight_bytes =
      static_cast<int64_t>(DecodeStepWeightBytes(model, kManyTokens));
  use.kv_bytes = cluster.KvBytesTouched();
  return use;
}

// One worker of several threads, and as many workers of one thread.
struct ClusterPair {
  std::unique_ptr<BenchCluster> one, many;
};

// Warm. `split` says how the many share the model.
absl::StatusOr<ClusterPair> StartPair(ClusterOptions cluster,
                                      const ParallelismOptions& split,
                                      int workers) {
  ClusterPair pair;
  cluster.parallelism = ParallelismOptions();
  cluster.threads_per_worker = workers;
  FACET_ASSIGN_OR_RETURN(pair.one, BenchCluster::Start(cluster));
  cluster.parallelism = split;
  cluster.threads_per_worker = 1;
  FACET_ASSIGN_OR_RETURN(pair.many, BenchCluster::Start(cluster));
  FACET_RETURN_IF_ERROR(pair.one->WarmUp());
  FACET_RETURN_IF_ERROR(pair.many->WarmUp());
  return pair;
}

absl::StatusOr<WorkerComparison> CompareWorkers(const BenchOptions& options,
                                                ClusterOptions cluster,
                                                int workers) {
  ParallelismOptions split;
  split.tp_size = workers;
  FACET_ASSIGN_OR_RETURN(const ClusterPair pair,
                         StartPair(std::move(cluster), split, workers));

  WorkerComparison comparison;
  comparison.workers = workers;
  DecodeShape shape = DecodeShapeOf(options, 1);
  shape.repeat = 1;
  for (int i = 0; i < options.repeat; ++i) {
    FACET_RETURN_IF_ERROR(
        pair.one->Decode(shape, nullptr, &comparison.one_decode));
    FACET_RETURN_IF_ERROR(
        pair.many->Decode(shape, nullptr, &comparison.many_decode));
    FACET_RETURN_IF_ERROR(
        pair.one->Prefill(shape.prompt, 1, nullptr, &comparison.one_prefill));
    FACET_RETURN_IF_ERROR(
        pair.many->Prefill(shape.prompt, 1, nullptr, &comparison.many_prefill));
  }
  FACET_RETURN_IF_ERROR(pair.many->Shutdown());
  FACET_RETURN_IF_ERROR(pair.one->Shutdown());
  return comparison;
}

absl::StatusOr<PipelineComparison> ComparePipeline(const BenchOptions& options,
                                                   ClusterOptions cluster,
                                                   int workers) {
  ParallelismOptions split;
  split.pp_size = workers;
  FACET_ASSIGN_OR_RETURN(const ClusterPair pair,
                         StartPair(std::move(cluster), split, workers));

  PipelineComparison comparison;
  comparison.workers = workers;
  for (int batch : options.batches) {
    // A stage without a sequence of its own to work on has nothing to do.
    if (batch < workers || batch % workers != 0) continue;
    PipelineComparison::Batch runs;
    DecodeShape shape = DecodeShapeOf(options, batch);
    shape.repeat = 1;
    for (int i = 0; i < options.repeat; ++i) {
      FACET_RETURN_IF_ERROR(pair.one->Decode(shape, nullptr, &runs.one));
      FACET_RETURN_IF_ERROR(pair.many->Decode(shape, nullptr, &runs.many));
    }
    comparison.batches.push_back(std::move(runs));
  }
  FACET_RETURN_IF_ERROR(pair.many->Shutdown());
  FACET_RETURN_IF_ERROR(pair.one->Shutdown());
  return comparison;
}

// As many busy processes as there are CPUs to be had.
absl::StatusOr<BusyRuns> MeasureBusy(const BenchOptions& options,
                                     BenchCluster& cluster) {
  BusyRuns runs;
  runs.processes = static_cast<int>(AvailableCpus().size());
  DecodeShape shape = DecodeShapeOf(options, 1);
  shape.repeat = 1;
  for (int i = 0; i < options.repeat; ++i) {
    FACET_RETURN_IF_ERROR(cluster.Decode(shape, nullptr, &runs.quiet));
    FACET_ASSIGN_OR_RETURN(const std::unique_ptr<BusyProcesses> others,
                           BusyProcesses::Start(runs.processes));
    FACET_RETURN_IF_ERROR(cluster.Decode(shape, nullptr, &runs.busy));
  }
  return runs;
}

bool NeedsCluster(const BenchOptions& options) {
  return options.groups.decode || options.groups.prefill ||
         options.groups.concurrency || options.groups.memory ||
         options.groups.busy;
}

// What runs steps on one cluster.
absl::Status MeasureSteps(const BenchOptions& options,
                          const ClusterOptions& cluster_options,
                          const ModelConfig& model, Measurements* all) {
  const auto say = [&](const std::string& what) {
    if (options.progress) options.progress(what);
  };
  FACET_ASSIGN_OR_RETURN(const std::unique_ptr<BenchCluster> cluster,
                         BenchCluster::Start(cluster_options));
  FACET_RETURN_IF_ERROR(cluster->WarmUp());
  std::unique_ptr<LimitMeter> meter;
  SampleLimits sample;
  if (all->before.has_value()) {
    FACET_ASSIGN_OR_RETURN(meter,
                           LimitMeter::Open(cluster_options.model_directory,
                                            ThreadsInUse(options)));
    sample = [&] { return meter->Sample(all->before->matvec_rows); };
  }
  for (int batch : options.batches) {
    if (batch == 1 ? !options.groups.decode : !options.groups.concurrency) {
      continue;
    }
    say(absl::StrCat("decode, ", batch,
                     batch == 1 ? " sequence" : " sequences"));
    DecodeRuns runs;
    FACET_RETURN_IF_ERROR(
        cluster->Decode(DecodeShapeOf(options, batch), sample, &runs));
    all->decode.push_back(std::move(runs));
  }
  if (options.groups.prefill) {
    for (int tokens : options.prompts) {
      say(absl::StrCat("prefill, ", tokens, " tokens"));
      PrefillRuns runs;
      FACET_RETURN_IF_ERROR(
          cluster->Prefill(tokens, options.repeat, sample, &runs));
      all->prefill.push_back(std::move(runs));
    }
  }
  meter.reset();
  if (options.groups.memory) {
    say("memory");
    FACET_ASSIGN_OR_RETURN(all->memory, MeasureMemory(*cluster, model));
  }
  if (options.groups.busy) {
    say("decode beside busy processes");
    FACET_ASSIGN_OR_RETURN(all->busy, MeasureBusy(options, *cluster));
  }
  return cluster->Shutdown();
}

}  // namespace

int ThreadsInUse(const BenchOptions& options) {
  const auto cpus = static_cast<int>(CoreCpus().size());
  if (options.compare_workers || options.compare_pipeline ||
      options.cluster.threads_per_worker == 0) {
    return cpus;
  }
  const ParallelismOptions& parallelism = options.cluster.parallelism;
  return options.cluster.threads_per_worker * parallelism.tp_size *
         parallelism.pp_size;
}

absl::StatusOr<Measurements> Measure(const BenchOptions& options,
                                     const ModelConfig& model) {
  FACET_RETURN_IF_ERROR(CheckBenchOptions(options));
  const auto say = [&](const std::string& what) {
    if (options.progress) options.progress(what);
  };
  const ClusterOptions cluster = WithRoom(options, model);
  const BenchGroups& groups = options.groups;
  const Clock::time_point start = Clock::now();
  const double pressure = CpuPressureSeconds();
  Measurements all;
  all.largest_cache_bytes = LargestCacheBytes();
  // First, while the page cache is as it was found.
  if (groups.load) {
    say(options.cold ? "load, from disk" : "load");
    FACET_ASSIGN_OR_RETURN(all.load, MeasureLoads(options, cluster));
  }
  const auto limits = [&]() -> absl::StatusOr<MachineLimits> {
    FACET_ASSIGN_OR_RETURN(
        const std::unique_ptr<LimitMeter> meter,
        LimitMeter::Open(cluster.model_directory, ThreadsInUse(options)));
    return meter->Measure(std::max(3, options.repeat));
  };
  if (groups.limits) {
    say("limits, before");
    FACET_ASSIGN_OR_RETURN(all.before, limits());
  }
  if (NeedsCluster(options)) {
    FACET_RETURN_IF_ERROR(MeasureSteps(options, cluster, model, &all));
  }
  if (options.compare_workers) {
    // Tensor parallelism goes by powers of two.
    int workers = 1;
    while (2 * workers <= ThreadsInUse(options)) workers *= 2;
    say(absl::StrCat("one worker against ", workers));
    FACET_ASSIGN_OR_RETURN(all.comparison,
                           CompareWorkers(options, cluster, workers));
  }
  if (options.compare_pipeline) {
    const int workers =
        std::min<int>(ThreadsInUse(options), model.layers.size());
    say(absl::StrCat("one worker against a pipeline of ", workers));
    FACET_ASSIGN_OR_RETURN(all.pipeline,
                           ComparePipeline(options, cluster, workers));
  }
  if (groups.context) {
    say(absl::StrCat("attention behind ", options.context, " tokens"));
    FACET_ASSIGN_OR_RETURN(
        const std::unique_ptr<LimitMeter> meter,
        LimitMeter::Open(cluster.model_directory, ThreadsInUse(options)));
    LongContextOptions context;
    context.context = options.context;
    context.page_tokens = cluster.page_tokens;
    context.format = cluster.numerics.kv_format;
    context.threads = ThreadsInUse(options);
    context.repeat = options.repeat;
    FACET_ASSIGN_OR_RETURN(all.long_context,
                           MeasureLongContext(model, context, [&] {
                             return meter->Sample(all.before->matvec_rows);
                           }));
  }
  if (groups.collectives) {
    say("collectives");
    FACET_ASSIGN_OR_RETURN(all.all_reduce, MeasureAllReduce(model));
  }
  if (groups.limits) {
    say("limits, after");
    FACET_ASSIGN_OR_RETURN(all.after, limits());
  }
  if (pressure >= 0) {
    all.cpu_pressure = (CpuPressureSeconds() - pressure) / SecondsSince(start);
  }
  return all;
}

}  // namespace facet
