#include "rpc/cli/bench/step_driver.h"

#include <algorithm>
#include <chrono>
#include <optional>
#include <utility>

#include "kernels/base/status_macros.h"
#include "rpc/cli/bench/random_tokens.h"

namespace facet {
namespace {

using Clock = std::chrono::steady_clock;

double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

SchedulerLimits MakeLimits(const Executor& executor, const ModelConfig& model,
                           int max_step_tokens, int max_sequences) {
  SchedulerLimits limits;
  limits.pools = executor.pools();
  limits.vocab_size = model.vocab_size;
  limits.sliding_window = model.sliding_window;
  limits.max_positions = model.max_position_embeddings;
  limits.max_step_tokens = max_step_tokens;
  limits.max_sequences = max_sequences;
  limits.micro_batches = executor.stages();
  limits.max_unapplied = executor.stages() + 1;
  limits.prefix_cache = false;  // prompts are there to be computed
  return limits;
}

}  // namespace

bool IsDecodeOf(int64_t batch, const StepTiming& step) {
  return step.tokens == batch && step.slices == batch;
}

StepDriver::StepDriver(Executor* executor, const ModelConfig& model,
                       int max_step_tokens, int max_sequences)
    : executor_(executor),
      vocab_size_(model.vocab_size),
      scheduler_(MakeLimits(*executor, model, max_step_tokens, max_sequences)) {
}

absl::StatusOr<std::vector<StepTiming>> StepDriver::Run(
    std::vector<std::vector<int32_t>> prompts, int64_t max_tokens,
    const Listener& listener) {
  for (std::vector<int32_t>& prompt : prompts) {
    SequenceRequest request;
    request.prompt = std::move(prompt);
    request.max_tokens = max_tokens;
    FACET_RETURN_IF_ERROR(scheduler_.Check(request));
    scheduler_.Add(SequenceId{next_sequence_++}, std::move(request));
  }
  std::vector<StepTiming> steps;
  while (true) {
    // One on each stage, one that waits for them.
    while (static_cast<int>(in_flight_.size()) <= executor_->stages()) {
      FACET_ASSIGN_OR_RETURN(const bool started, Start());
      if (!started) break;
    }
    if (in_flight_.empty()) return steps;
    FACET_ASSIGN_OR_RETURN(const StepTiming step, Finish());
    // The last plan only says that all sequences have ended.
    if (step.slices == 0) continue;
    steps.push_back(step);
    if (!listener.after_step || !listener.after_step(step)) continue;
    while (!in_flight_.empty()) FACET_RETURN_IF_ERROR(Finish().status());
    listener.on_break();
    idle_since_ = Clock::now();
  }
}

absl::StatusOr<bool> StepDriver::Start() {
  const std::optional<StepPlan> plan = scheduler_.PlanStep();
  if (!plan.has_value()) return false;
  InFlight step;
  for (const SequenceSlice& slice : plan->slices) {
    ++step.timing.slices;
    step.timing.tokens += static_cast<int64_t>(slice.tokens.size());
    step.timing.context += slice.start;
    for (PageId page : slice.new_sliding_pages) {
      sliding_touched_.insert(page.value);
    }
    for (PageId page : slice.new_global_pages) {
      global_touched_.insert(page.value);
    }
  }
  step.start = Clock::now();
  FACET_RETURN_IF_ERROR(executor_->Start(*plan));
  in_flight_.push_back(step);
  return true;
}

absl::StatusOr<StepTiming> StepDriver::Finish() {
  FACET_ASSIGN_OR_RETURN(StepResult result, executor_->Finish());
  InFlight step = in_flight_.front();
  in_flight_.pop_front();
  step.timing.compute_s = absl::ToDoubleSeconds(result.compute);
  FACET_RETURN_IF_ERROR(scheduler_.Apply(std::move(result)).status());
  step.timing.seconds = SecondsSince(std::max(step.start, idle_since_));
  idle_since_ = Clock::now();
  return step.timing;
}

std::vector<int32_t> StepDriver::RandomPrompt(int64_t length,
                                              uint64_t seed) const {
  return RandomTokens(length, vocab_size_, seed);
}

PagesTouched StepDriver::pages_touched() const {
  return {static_cast<int64_t>(sliding_touched_.size()),
          static_cast<int64_t>(global_touched_.size())};
}

}  // namespace facet
