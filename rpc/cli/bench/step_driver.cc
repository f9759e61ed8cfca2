#include "rpc/cli/bench/step_driver.h"

#include <algorithm>
#include <chrono>
#include <optional>
#include <random>
#include <utility>

#include "kernels/base/status_macros.h"

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
    const std::function<void(const StepTiming&)>& after) {
  for (std::vector<int32_t>& prompt : prompts) {
    SequenceRequest request;
    request.prompt = std::move(prompt);
    request.max_tokens = max_tokens;
    FACET_RETURN_IF_ERROR(scheduler_.Check(request));
    scheduler_.Add(SequenceId{next_sequence_++}, std::move(request));
  }
  std::vector<StepTiming> steps;
  while (true) {
    const Clock::time_point start = Clock::now();
    const std::optional<StepPlan> plan = scheduler_.PlanStep();
    if (!plan.has_value()) return steps;
    FACET_ASSIGN_OR_RETURN(StepTiming step, Step(*plan));
    step.seconds = SecondsSince(start);
    // The last plan only says that all sequences have ended.
    if (step.slices == 0) continue;
    steps.push_back(step);
    if (after) after(step);
  }
}

absl::StatusOr<StepTiming> StepDriver::Step(const StepPlan& plan) {
  StepTiming step;
  for (const SequenceSlice& slice : plan.slices) {
    ++step.slices;
    step.tokens += static_cast<int64_t>(slice.tokens.size());
    step.context += slice.start;
    for (PageId page : slice.new_sliding_pages) {
      sliding_touched_.insert(page.value);
    }
    for (PageId page : slice.new_global_pages) {
      global_touched_.insert(page.value);
    }
  }
  const Clock::time_point start = Clock::now();
  FACET_ASSIGN_OR_RETURN(StepResult result, executor_->Execute(plan));
  step.execute_s = SecondsSince(start);
  step.compute_s = absl::ToDoubleSeconds(result.compute);
  FACET_RETURN_IF_ERROR(scheduler_.Apply(std::move(result)).status());
  return step;
}

std::vector<int32_t> StepDriver::RandomPrompt(int64_t length,
                                              uint64_t seed) const {
  // Special tokens and bytes come first in a vocabulary.
  const int64_t first = std::min<int64_t>(300, vocab_size_ / 2);
  std::mt19937_64 random(seed);
  std::vector<int32_t> prompt(length);
  for (int32_t& id : prompt) {
    id = static_cast<int32_t>(first + random() % (vocab_size_ - first));
  }
  return prompt;
}

PagesTouched StepDriver::pages_touched() const {
  return {static_cast<int64_t>(sliding_touched_.size()),
          static_cast<int64_t>(global_touched_.size())};
}

}  // namespace facet
