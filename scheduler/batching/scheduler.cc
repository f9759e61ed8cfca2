#include "scheduler/batching/scheduler.h"

#include <algorithm>
#include <iterator>
#include <memory>
#include <string>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/strings/str_cat.h"
#include "kernels/base/check.h"

namespace facet {
namespace {

// The most positions whose pages fit into empty pools.
int64_t MostPositionsOf(const SchedulerLimits& limits,
                        const PageGeometry& geometry) {
  int64_t fits = 0;
  int64_t too_many = limits.max_positions + 1;
  while (too_many - fits > 1) {  // MostPages() rises with the positions
    const int64_t middle = fits + (too_many - fits) / 2;
    const PageDemand demand =
        geometry.MostPages(middle, limits.max_step_tokens);
    const bool fit = demand.sliding <= limits.pools.sliding_pages &&
                     demand.global <= limits.pools.global_pages;
    (fit ? fits : too_many) = middle;
  }
  return fits;
}

absl::Status WrongResult(absl::string_view what) {
  return absl::InternalError(
      absl::StrCat("the executor's result does not answer the plan: ", what));
}

}  // namespace

Scheduler::Scheduler(const SchedulerLimits& limits)
    : limits_(limits), pages_(limits.pools, limits.sliding_window) {
  FACET_CHECK(limits.max_step_tokens > 0 && limits.max_sequences > 0 &&
              limits.max_logits_rows > 0 && limits.vocab_size > 0 &&
              limits.max_positions > 0);
  most_positions_ = MostPositionsOf(limits, pages_.geometry());
}

absl::Status Scheduler::Check(const SequenceRequest& request) const {
  if (request.prompt.empty()) {
    return absl::InvalidArgumentError(
        "prompt: empty, at least one token is needed");
  }
  for (size_t i = 0; i < request.prompt.size(); ++i) {
    const int32_t id = request.prompt[i];
    if (id < 0 || id >= limits_.vocab_size) {
      return absl::InvalidArgumentError(
          absl::StrCat("prompt[", i, "]: token id ", id,
                       " is out of range, the vocabulary has ids 0 to ",
                       limits_.vocab_size - 1));
    }
  }
  const int64_t least_tokens = request.prompt_logits ? 0 : 1;
  if (request.max_tokens < least_tokens) {
    return absl::InvalidArgumentError(
        absl::StrCat("max_tokens: ", request.max_tokens,
                     " is out of range, at least ", least_tokens));
  }
  const int64_t length = static_cast<int64_t>(request.prompt.size());
  if (length > limits_.max_positions) {
    return absl::InvalidArgumentError(
        absl::StrCat("prompt: ", length, " tokens, but the model's context is ",
                     limits_.max_positions));
  }
  if (length > most_positions_) {
    return absl::InvalidArgumentError(
        absl::StrCat("prompt: ", length, " tokens, but the KV memory holds ",
                     most_positions_, "; raise --kv-memory"));
  }
  return absl::OkStatus();
}

void Scheduler::Add(SequenceId id, SequenceRequest request) {
  Sequence sequence;
  sequence.id = id;
  sequence.prompt_length = static_cast<int64_t>(request.prompt.size());
  sequence.tokens = std::move(request.prompt);
  // The last token of an answer is never fed back, so it takes no position.
  request.max_tokens = std::min<int64_t>(
      request.max_tokens, most_positions_ - sequence.prompt_length + 1);
  if (request.prompt_logits) request.max_tokens = 0;
  sequence.request = std::move(request);
  waiting_.push_back(std::move(sequence));
}

void Scheduler::Cancel(SequenceId sequence) {
  const auto running = by_id_.find(sequence);
  if (running != by_id_.end()) {
    End(running->second);
    return;
  }
  waiting_.remove_if([&](const Sequence& s) { return s.id == sequence; });
}

// Nothing is masked yet: every request draws freely.
void Scheduler::SetMask(SequenceId, std::shared_ptr<const TokenMask>) {}

void Scheduler::Restart() {
  planned_.reset();
  while (!running_.empty()) {
    Sequence& sequence = running_.back();
    pages_.Release(&sequence.pages);
    by_id_.erase(sequence.id);
    sequence.computed = 0;
    sequence.in_flight = 0;
    waiting_.splice(waiting_.begin(), running_, std::prev(running_.end()));
  }
  reserved_ = PageDemand();
  finished_.clear();
}

SchedulerStats Scheduler::stats() const {
  const auto use = [](const PagePool& pool) {
    PoolUse use;
    use.blank = pool.free_pages();
    use.held = pool.size() - use.blank;
    return use;
  };
  SchedulerStats stats;
  stats.waiting = waiting();
  stats.running = running();
  stats.sliding = use(pages_.sliding());
  stats.global = use(pages_.global());
  return stats;
}

void Scheduler::End(SequenceList::iterator sequence) {
  pages_.Release(&sequence->pages);
  reserved_.sliding -= sequence->reserved.sliding;
  reserved_.global -= sequence->reserved.global;
  finished_.push_back(sequence->id);
  by_id_.erase(sequence->id);
  running_.erase(sequence);
}

void Scheduler::PlanSlice(Sequence* sequence, int64_t count, StepPlan* plan) {
  const SequenceRequest& request = sequence->request;
  SequenceSlice slice;
  slice.sequence = sequence->id;
  slice.start = sequence->computed;
  if (sequence->computed == 0) {
    slice.begins.emplace().prompt_tokens = sequence->prompt_length;
  }
  const auto first = sequence->tokens.begin() + sequence->computed;
  slice.tokens.assign(first, first + count);
  slice.sampling = request.sampling;
  if (request.prompt_logits) {
    slice.logits = LogitsWanted::kAll;
  } else {
    slice.sample = count == sequence->pending();
  }
  pages_.Grant(&sequence->pages, &slice);
  sequence->in_flight = count;
  plan->slices.push_back(std::move(slice));
}

std::optional<PageDemand> Scheduler::RoomForNext() const {
  if (waiting_.empty() || running() >= limits_.max_sequences) {
    return std::nullopt;
  }
  const Sequence& next = waiting_.front();
  const int64_t positions =
      next.prompt_length + std::max<int64_t>(next.request.max_tokens - 1, 0);
  const PageDemand demand =
      pages_.geometry().MostPages(positions, limits_.max_step_tokens);
  if (reserved_.sliding + demand.sliding > pages_.sliding().size() ||
      reserved_.global + demand.global > pages_.global().size()) {
    return std::nullopt;
  }
  return demand;
}

std::optional<StepPlan> Scheduler::PlanStep() {
  FACET_CHECK(!planned_.has_value());
  StepPlan plan;
  plan.finished = std::move(finished_);
  finished_.clear();
  int64_t budget = limits_.max_step_tokens;

  // A step that admits leaves each running sequence at least one token, so
  // those that decode always fit.
  for (Sequence& sequence : running_) {
    if (sequence.prefilling()) continue;
    PlanSlice(&sequence, 1, &plan);
    --budget;
  }
  FACET_CHECK(budget >= 0);

  const auto plan_chunk = [&](Sequence* sequence) {
    int64_t count = std::min(sequence->pending(), budget);
    if (sequence->request.prompt_logits) {
      count = std::min<int64_t>(count, limits_.max_logits_rows);
    }
    PlanSlice(sequence, count, &plan);
    budget -= count;
  };
  for (Sequence& sequence : running_) {
    if (budget == 0) break;
    if (sequence.in_flight == 0 && sequence.prefilling()) plan_chunk(&sequence);
  }
  while (budget > 0) {
    const std::optional<PageDemand> demand = RoomForNext();
    if (!demand.has_value()) break;
    running_.splice(running_.end(), waiting_, waiting_.begin());
    Sequence& sequence = running_.back();
    by_id_[sequence.id] = std::prev(running_.end());
    sequence.reserved = *demand;
    reserved_.sliding += demand->sliding;
    reserved_.global += demand->global;
    plan_chunk(&sequence);
  }

  if (plan.slices.empty() && plan.finished.empty()) return std::nullopt;
  plan.step = next_step_++;
  planned_ = plan;
  return plan;
}

absl::StatusOr<std::vector<SequenceUpdate>> Scheduler::Apply(
    StepResult result) {
  FACET_CHECK(planned_.has_value());
  const StepPlan plan = *std::exchange(planned_, std::nullopt);
  if (result.step != plan.step) {
    return WrongResult(
        absl::StrCat("step ", result.step, " in place of ", plan.step));
  }

  std::vector<SequenceUpdate> updates;
  auto token = result.tokens.begin();
  for (const SequenceSlice& slice : plan.slices) {
    SequenceUpdate update;
    update.sequence = slice.sequence;
    if (slice.sample) {
      if (token == result.tokens.end()) return WrongResult("a missing token");
      if (!(token->sequence == slice.sequence)) {
        return WrongResult(absl::StrCat("a token of sequence ",
                                        token->sequence.value, " in place of ",
                                        slice.sequence.value));
      }
      if (token->token < 0 || token->token >= limits_.vocab_size) {
        return WrongResult(absl::StrCat("token id ", token->token));
      }
      update.token = std::move(*token++);
    }
    const auto found = by_id_.find(slice.sequence);
    if (found == by_id_.end()) continue;  // cancelled since it was planned
    Sequence& sequence = *found->second;
    sequence.computed += std::exchange(sequence.in_flight, 0);

    if (update.token.has_value()) {
      const int32_t id = update.token->token;
      sequence.tokens.push_back(id);
      const int64_t answered =
          static_cast<int64_t>(sequence.tokens.size()) - sequence.prompt_length;
      if (absl::c_linear_search(sequence.request.stop_ids, id)) {
        update.end = SequenceEnd::kStop;
      } else if (answered >= sequence.request.max_tokens) {
        update.end = SequenceEnd::kLength;
      }
    } else if (sequence.request.prompt_logits && sequence.pending() == 0) {
      update.end = SequenceEnd::kLength;
    }
    if (update.end != SequenceEnd::kNotYet) End(found->second);
    updates.push_back(std::move(update));
  }
  if (token != result.tokens.end()) return WrongResult("a token too many");

  for (LogitsBlock& block : result.logits) {
    const auto slice = absl::c_find_if(plan.slices, [&](const auto& s) {
      return s.sequence == block.sequence;
    });
    if (slice == plan.slices.end() || slice->logits == LogitsWanted::kNone) {
      return WrongResult("logits that nobody asked for");
    }
    const int64_t end =
        slice->start + static_cast<int64_t>(slice->tokens.size());
    const int64_t columns = block.vocab_end - block.vocab_begin;
    if (block.first_position < slice->start || block.rows < 0 ||
        block.rows > end - block.first_position || block.vocab_begin < 0 ||
        columns < 0 || block.vocab_end > limits_.vocab_size ||
        static_cast<int64_t>(block.values.size()) != block.rows * columns) {
      return WrongResult("a block of logits outside its slice");
    }
    const auto update = absl::c_find_if(
        updates, [&](const auto& u) { return u.sequence == block.sequence; });
    if (update != updates.end()) update->logits.push_back(std::move(block));
  }
  return updates;
}

}  // namespace facet
