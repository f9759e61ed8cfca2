#include "rpc/cli/bench/bench_cluster.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"

namespace facet {
namespace {

// Steps until the last of the sequences has its first token, at most: those in
// front of it decode meanwhile and leave their prompts that much less room.
int64_t PrefillSteps(const DecodeShape& shape, int max_step_tokens) {
  const int64_t tokens = int64_t{shape.batch} * shape.prompt;
  const int64_t room = std::max(1, max_step_tokens - shape.batch + 1);
  return (tokens + room - 1) / room + 1;
}

int64_t MostTokens(const DecodeShape& shape, int max_step_tokens) {
  // A repetition begins behind a break, which one step of each micro-batch is
  // lost to; one comes before the first break, and two to spare.
  return int64_t{shape.repeat} * (shape.steps + 1) +
         PrefillSteps(shape, max_step_tokens) + 4;
}

}  // namespace

int64_t MostPositions(const DecodeShape& shape, int max_step_tokens) {
  return shape.prompt + MostTokens(shape, max_step_tokens);
}

BenchCluster::BenchCluster(const ClusterOptions& options,
                           std::unique_ptr<Cluster> cluster)
    : options_(options),
      cluster_(std::move(cluster)),
      driver_(&cluster_->executor(), cluster_->model(), options.chunk_tokens,
              options.max_sequences) {}

absl::StatusOr<std::unique_ptr<BenchCluster>> BenchCluster::Start(
    const ClusterOptions& options) {
  FACET_ASSIGN_OR_RETURN(std::unique_ptr<Cluster> cluster,
                         Cluster::Start(options));
  return std::unique_ptr<BenchCluster>(
      new BenchCluster(options, std::move(cluster)));
}

absl::StatusOr<std::vector<StepTiming>> BenchCluster::RunPrompt(int tokens) {
  return driver_.Run({driver_.RandomPrompt(tokens, next_seed_++)},
                     /*max_tokens=*/1);
}

absl::Status BenchCluster::WarmUp() {
  return driver_.Run({driver_.RandomPrompt(32, next_seed_++)}, 4).status();
}

absl::Status BenchCluster::Decode(const DecodeShape& shape,
                                  const SampleLimits& sample,
                                  DecodeRuns* runs) {
  std::vector<std::vector<int32_t>> prompts;
  for (int i = 0; i < shape.batch; ++i) {
    prompts.push_back(driver_.RandomPrompt(shape.prompt, next_seed_++));
  }
  // Pipeline stages work on as many micro-batches, each a step of its own.
  const int micro_batches =
      std::min(shape.batch, cluster_->executor().stages());
  if (shape.batch % micro_batches != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("--batch: ", shape.batch, " sequences do not divide over ",
                     micro_batches, " pipeline stages"));
  }
  const int step_batch = shape.batch / micro_batches;
  const size_t run_steps = static_cast<size_t>(shape.steps) * micro_batches;
  const size_t wanted = shape.repeat * run_steps;
  // The first that counts comes after one that does not: repetitions begin
  // behind a sample.
  bool begun = false;
  std::vector<StepTiming> steps;
  StepDriver::Listener listener;
  listener.after_step = [&](const StepTiming& step) {
    if (!IsDecodeOf(step_batch, step) || step.context == 0) return false;
    if (begun && steps.size() < wanted) {
      steps.push_back(step);
    } else if (begun) {
      return false;
    }
    begun = true;
    return sample && steps.size() % run_steps == 0;
  };
  listener.on_break = [&] { runs->limits.push_back(sample()); };
  FACET_RETURN_IF_ERROR(driver_
                            .Run(std::move(prompts),
                                 MostTokens(shape, options_.chunk_tokens),
                                 listener)
                            .status());
  if (steps.size() < wanted) {
    return absl::FailedPreconditionError(
        absl::StrCat("--kv-memory: ", options_.kv_bytes_per_worker,
                     " bytes do not hold ", shape.batch, " sequences of ",
                     MostPositions(shape, options_.chunk_tokens),
                     " tokens at once; give more, or a smaller --batch"));
  }
  runs->batch = shape.batch;
  double context = 0;
  for (int r = 0; r < shape.repeat; ++r) {
    double seconds = 0;
    for (size_t i = 0; i < run_steps; ++i) {
      const StepTiming& step = steps[r * run_steps + i];
      seconds += step.seconds;
      context += static_cast<double>(step.context) / step_batch;
      runs->step_s.push_back(step.seconds);
      runs->control_s.push_back(std::max(0.0, step.seconds - step.compute_s));
    }
    runs->tokens_per_s.push_back(step_batch * run_steps / seconds);
  }
  runs->context = context / static_cast<double>(wanted);
  return absl::OkStatus();
}

absl::Status BenchCluster::Prefill(int tokens, int repeat,
                                   const SampleLimits& sample,
                                   PrefillRuns* runs) {
  runs->tokens = tokens;
  if (sample) runs->limits.push_back(sample());
  for (int r = 0; r < repeat; ++r) {
    FACET_ASSIGN_OR_RETURN(const std::vector<StepTiming> steps,
                           RunPrompt(tokens));
    double seconds = 0;
    for (const StepTiming& step : steps) seconds += step.seconds;
    runs->tokens_per_s.push_back(tokens / seconds);
    if (sample) runs->limits.push_back(sample());
  }
  return absl::OkStatus();
}

int64_t BenchCluster::KvBytesTouched() const {
  const PagesTouched pages = driver_.pages_touched();
  const int element = options_.numerics.kv_format == KvFormat::kF32 ? 4 : 2;
  int64_t bytes = 0;
  for (int rank = 0; rank < plan().world_size(); ++rank) {
    const auto per_token = [&](LayerKind kind) {
      return plan().KvBytesPerToken(cluster_->model(), rank, kind, element);
    };
    bytes +=
        options_.page_tokens * (pages.sliding * per_token(LayerKind::kSliding) +
                                pages.global * per_token(LayerKind::kGlobal));
  }
  return bytes;
}

}  // namespace facet
