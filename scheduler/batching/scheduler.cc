#include "scheduler/batching/scheduler.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/strings/str_cat.h"
#include "kernels/base/check.h"
#include "kernels/base/status_macros.h"

namespace facet {
namespace {

// Room made for an answer when its sequence starts: growing by doubling later
// would copy a long prompt while others wait.
constexpr int64_t kReservedAnswer = 16384;

bool InOrder(const Sequence* a, const Sequence* b) {
  return a->order < b->order;
}

}  // namespace

Scheduler::Scheduler(const SchedulerLimits& limits)
    : limits_(limits),
      // A running sequence has a token of every step for itself, if need be.
      max_running_(std::min(limits.max_sequences, limits.max_step_tokens)),
      pages_(limits.pools, limits.sliding_window),
      admission_(limits.max_step_tokens),
      micro_batch_sizes_(limits.micro_batches, 0) {
  FACET_CHECK(limits.max_step_tokens > 0 && limits.max_sequences > 0 &&
              limits.max_logits_rows > 0 && limits.vocab_size > 0 &&
              limits.max_positions > 0 && limits.micro_batches > 0 &&
              limits.max_unapplied > 0);
  request_limits_.vocab_size = limits.vocab_size;
  request_limits_.max_positions = limits.max_positions;
  request_limits_.most_positions = pages_.geometry().MostPositions(
      limits.pools, limits.max_positions, limits.max_step_tokens);
}

absl::Status Scheduler::Check(const SequenceRequest& request) const {
  return CheckRequest(request, request_limits_);
}

void Scheduler::Add(SequenceId id, SequenceRequest request) {
  auto owned = std::make_unique<Sequence>();
  Sequence* const sequence = owned.get();
  sequence->id = id;
  sequence->order.arrival = arrivals_++;
  sequence->order.rank =
      sequence->order.arrival + kPriorityStride * request.priority;
  sequence->prompt_length = static_cast<int64_t>(request.prompt.size());
  sequence->tokens = std::move(request.prompt);
  if (!request.drawn.empty()) {
    sequence->tokens.insert(sequence->tokens.end(), request.drawn.begin(),
                            request.drawn.end());
    sequence->rows_told = sequence->prompt_length;
  }
  // The last token of an answer is never fed back, so it takes no position.
  request.max_tokens = std::min<int64_t>(
      request.max_tokens, MostPositions() - sequence->prompt_length + 1);
  if (request.prompt_logits) request.max_tokens = 0;
  std::sort(request.stop_ids.begin(), request.stop_ids.end());

  Sequence* leader = nullptr;
  sequence->family = request.sibling.value_or(id);
  if (request.sibling.has_value()) {
    const auto found = sequences_.find(*request.sibling);
    if (found != sequences_.end()) {
      leader = found->second.get();
      sequence->family = leader->family;
    }
  }
  sequence->pages.keys = PageKeys(
      limits_.prefix_cache ? request.cache_salt
                           : absl::StrCat("family ", sequence->family.value));
  sequence->request = std::move(request);
  const bool inserted = sequences_.emplace(id, std::move(owned)).second;
  FACET_CHECK(inserted);
  if (leader != nullptr && !leader->prompt_computed) {
    waiting_.Hold(sequence);
  } else {
    waiting_.Add(sequence);
  }
}

void Scheduler::Cancel(SequenceId sequence) {
  const auto found = sequences_.find(sequence);
  if (found != sequences_.end()) End(found->second.get());
}

void Scheduler::SetMask(SequenceId sequence,
                        std::shared_ptr<const TokenMask> mask) {
  const auto found = sequences_.find(sequence);
  if (found == sequences_.end()) return;
  found->second->mask = std::move(mask);
  found->second->mask_planned = false;
}

void Scheduler::StopRunning(Sequence* sequence) {
  pages_.Release(&sequence->pages);
  if (sequence->begun) finished_.push_back(sequence->id);
  running_.erase(
      std::lower_bound(running_.begin(), running_.end(), sequence, InOrder));
  LeaveMicroBatch(sequence->micro_batch);
  sequence->run = 0;
  sequence->begun = false;
  sequence->mask_planned = false;
  sequence->unknown = 0;
  sequence->planned = 0;
  sequence->chunk = 0;
}

void Scheduler::LeaveMicroBatch(int micro_batch) {
  --micro_batch_sizes_[micro_batch];
  const auto largest =
      std::max_element(micro_batch_sizes_.begin(), micro_batch_sizes_.end());
  if (*largest - micro_batch_sizes_[micro_batch] < 2) return;
  const int from = static_cast<int>(largest - micro_batch_sizes_.begin());
  const auto moved =
      std::find_if(running_.rbegin(), running_.rend(),
                   [&](const Sequence* s) { return s->micro_batch == from; });
  (*moved)->micro_batch = micro_batch;
  --micro_batch_sizes_[from];
  ++micro_batch_sizes_[micro_batch];
}

void Scheduler::Preempt(Sequence* sequence) {
  StopRunning(sequence);
  waiting_.Add(sequence);
  ++preemptions_;
}

void Scheduler::End(Sequence* sequence) {
  if (sequence->run != 0) {
    StopRunning(sequence);
  } else {
    waiting_.Remove(sequence);
  }
  waiting_.Free(sequence->id);
  sequences_.erase(SequenceId(sequence->id));
}

void Scheduler::Restart() {
  unapplied_.clear();
  while (!running_.empty()) {
    Sequence* const sequence = running_.back();
    StopRunning(sequence);
    waiting_.Add(sequence);
  }
  pages_.Forget();
  finished_.clear();
  completed_ = next_step_ - 1;  // the results of those before never come
}

void Scheduler::Admit() {
  while (Sequence* const next = waiting_.First()) {
    // Preempted just now: the plan that says so cannot begin it too.
    if (absl::c_linear_search(finished_, next->id)) return;
    std::optional<CachedPrefix> prefix;
    if (running() < max_running_) {
      prefix = admission_.Fits(pages_, running_, next);
    }
    if (prefix.has_value()) {
      waiting_.Remove(next);
      Start(next, *prefix);
      continue;
    }
    if (!admission_.MightFitInPlaceOfLessUrgent(pages_, running_, next)) {
      return;
    }
    for (size_t i = running_.size(); i-- > 0;) {
      if (!YieldsTo(*next, *running_[i])) continue;
      Preempt(running_[i]);
      break;
    }
  }
}

void Scheduler::Start(Sequence* sequence, const CachedPrefix& prefix) {
  sequence->run = next_run_++;
  sequence->tokens.reserve(
      sequence->prompt_length +
      std::min(sequence->request.max_tokens, kReservedAnswer));
  const auto smallest =
      std::min_element(micro_batch_sizes_.begin(), micro_batch_sizes_.end());
  ++*smallest;
  sequence->micro_batch =
      static_cast<int>(smallest - micro_batch_sizes_.begin());
  pages_.Share(prefix, sequence->tokens, &sequence->pages);
  sequence->planned = prefix.pages * limits_.pools.page_tokens;
  sequence->cache_version = pages_.cache_version();
  running_.insert(
      std::upper_bound(running_.begin(), running_.end(), sequence, InOrder),
      sequence);
}

void Scheduler::LookAgainForPrefix(Sequence* sequence) {
  if (sequence->cache_version == pages_.cache_version()) return;
  sequence->cache_version = pages_.cache_version();
  pages_.Release(&sequence->pages);
  const CachedPrefix prefix = FindPrefix(pages_, sequence);
  pages_.Share(prefix, sequence->tokens, &sequence->pages);
  sequence->planned = prefix.pages * limits_.pools.page_tokens;
  sequence->chunk = std::min(sequence->chunk, MostPrefill(*sequence));
}

bool Scheduler::MakeRoom(Sequence* sequence) {
  while (
      !pages_.CanGrant(sequence->pages, sequence->planned, sequence->chunk)) {
    // Alone, every sequence has room.
    FACET_CHECK(running_.size() > 1);
    Sequence* const last = running_.back();
    Preempt(last);
    if (last == sequence) return false;
  }
  return true;
}

int64_t Scheduler::MostPrefill(const Sequence& sequence) const {
  int64_t most = sequence.left();
  // The slice that ends with the last token draws the next.
  if (sequence.draws() && !sequence.may_draw()) --most;
  if (sequence.wants_rows() && sequence.planned < sequence.rows_told) {
    most = std::min(most, sequence.rows_told - sequence.planned);
  }
  return most;
}

int64_t Scheduler::ChooseDecodes() {
  // A micro-batch goes on as a whole: one that waits only for a token that is
  // on its way is not split over two steps.
  struct Readiness {
    int64_t able = 0;
    bool waits = false;
  };
  std::vector<Readiness> micro_batches(limits_.micro_batches);
  for (const Sequence* sequence : running_) {
    if (!sequence->decoding()) continue;
    Readiness& readiness = micro_batches[sequence->micro_batch];
    if (sequence->may_draw()) {
      ++readiness.able;
    } else if (sequence->unknown > 0) {
      readiness.waits = true;
    }
  }
  for (int i = 0; i < limits_.micro_batches; ++i) {
    const int turn = (next_micro_batch_ + i) % limits_.micro_batches;
    if (micro_batches[turn].able == 0 || micro_batches[turn].waits) continue;
    for (Sequence* sequence : running_) {
      if (sequence->micro_batch == turn && sequence->decoding() &&
          sequence->may_draw()) {
        sequence->chunk = 1;
      }
    }
    next_micro_batch_ = (turn + 1) % limits_.micro_batches;
    return micro_batches[turn].able;
  }
  return 0;
}

void Scheduler::ChoosePrefills(int64_t budget) {
  wishes_.clear();
  for (const Sequence* sequence : running_) {
    if (!sequence->prefilling()) continue;
    PrefillWish& wish = wishes_.emplace_back();
    wish.left = sequence->left();
    wish.most = MostPrefill(*sequence);
  }
  if (wishes_.empty()) return;
  DividePrefillBudget(budget, &wishes_);
  auto wish = wishes_.begin();
  int64_t rows = limits_.max_logits_rows;
  for (Sequence* sequence : running_) {
    if (!sequence->prefilling()) continue;
    sequence->chunk = wish++->chunk;
    // One that begins may yet find a prefix and go on behind the rows it has
    // told.
    if (sequence->request.prompt_logits &&
        (sequence->planned >= sequence->rows_told || !sequence->begun)) {
      sequence->chunk = std::min(sequence->chunk, rows);
      rows -= sequence->chunk;
    }
  }
}

void Scheduler::ChooseChunks() {
  for (Sequence* sequence : running_) sequence->chunk = 0;
  const int64_t budget = limits_.max_step_tokens - ChooseDecodes();
  FACET_CHECK(budget >= 0);
  ChoosePrefills(budget);
}

SequenceStart Scheduler::BeginningOf(const Sequence& sequence) const {
  const SequenceRequest& request = sequence.request;
  SequenceStart begins;
  begins.prompt_tokens = sequence.prompt_length;
  if (request.sampling.Penalises()) {
    begins.earlier_tokens.assign(sequence.tokens.begin(),
                                 sequence.tokens.begin() + sequence.planned);
  }
  begins.logit_bias = request.logit_bias;
  if (request.min_tokens > 0) {
    begins.late_position = sequence.prompt_length + request.min_tokens;
    for (const int32_t id : request.stop_ids) {
      if (id >= 0 && id < limits_.vocab_size) begins.late_tokens.push_back(id);
    }
  }
  return begins;
}

void Scheduler::PlanSlice(Sequence* sequence, SequenceSlice* out,
                          PlannedSlice* planned) {
  const SequenceRequest& request = sequence->request;
  SequenceSlice& slice = *out;
  slice.sequence = sequence->id;
  slice.start = sequence->planned;
  slice.sampling = request.sampling;
  if (!sequence->begun) {
    slice.begins = BeginningOf(*sequence);
    if (!sequence->counted) {
      prefix_queries_ += sequence->length();
      prefix_hits_ += sequence->planned;
      sequence->counted = true;
    }
    sequence->begun = true;
  }
  const int64_t end = slice.start + sequence->chunk;
  if (end > static_cast<int64_t>(sequence->tokens.size())) {
    slice.tokens = {kSampledToken};
  } else {
    slice.tokens.assign(sequence->tokens.begin() + slice.start,
                        sequence->tokens.begin() + end);
  }
  pages_.Grant(&sequence->pages, &slice);

  planned->sequence = sequence->id;
  planned->run = sequence->run;
  planned->start = slice.start;
  planned->count = sequence->chunk;
  if (sequence->wants_rows() && slice.start >= sequence->rows_told) {
    if (request.prompt_logits) {
      slice.logits = LogitsWanted::kAll;
      planned->logits = true;
    }
    planned->prompt_logprobs =
        request.prompt_logprobs < 0
            ? 0
            : std::max<int64_t>(
                  0, std::min(end, sequence->prompt_length - 1) - slice.start);
    if (planned->prompt_logprobs > 0) {
      slice.prompt_logprobs = request.prompt_logprobs;
      if (end < sequence->prompt_length) {
        slice.next_prompt_token = sequence->tokens[end];
      }
    }
  }
  if (sequence->draws() && end == sequence->length()) {
    slice.sample = true;
    planned->sample = true;
    if (request.masked) {
      slice.mask = sequence->mask;
      sequence->mask_planned = true;
    }
    ++sequence->unknown;
  }
  sequence->planned = end;
}

std::optional<StepPlan> Scheduler::PlanStep() {
  FACET_CHECK(unapplied() < limits_.max_unapplied);
  Admit();
  ChooseChunks();

  StepPlan plan;
  PlannedStep planned;
  plan.slices.reserve(running_.size());
  planned.slices.reserve(running_.size());
  // In order, so that what MakeRoom() preempts has no slice in this plan.
  for (size_t i = 0; i < running_.size(); ++i) {
    Sequence* const sequence = running_[i];
    if (sequence->chunk > 0 && !sequence->begun) LookAgainForPrefix(sequence);
    if (sequence->chunk == 0 || !MakeRoom(sequence)) continue;
    PlanSlice(sequence, &plan.slices.emplace_back(),
              &planned.slices.emplace_back());
  }
  // A plan of ends alone is not worth a step while others are under way.
  if (plan.slices.empty() && (finished_.empty() || !unapplied_.empty())) {
    return std::nullopt;
  }
  plan.finished = std::move(finished_);
  finished_.clear();
  plan.completed = completed_;
  plan.step = planned.step = next_step_++;
  unapplied_.push_back(std::move(planned));
  return plan;
}

void Scheduler::ApplySlice(Sequence* sequence, const PlannedSlice& slice,
                           SampledToken* token, SequenceUpdate* out) {
  SequenceUpdate& update = *out;
  update.sequence = slice.sequence;
  if (sequence->wants_rows()) {
    sequence->rows_told = std::max(
        sequence->rows_told, std::min(slice.end(), sequence->prompt_length));
  }
  if (token != nullptr) {
    const int32_t id = token->token;
    sequence->tokens.push_back(id);
    --sequence->unknown;
    sequence->mask.reset();
    sequence->mask_planned = false;
    const int64_t answered =
        static_cast<int64_t>(sequence->tokens.size()) - sequence->prompt_length;
    const auto& stop_ids = sequence->request.stop_ids;
    if (std::binary_search(stop_ids.begin(), stop_ids.end(), id)) {
      update.end = SequenceEnd::kStop;
    } else if (answered >= sequence->request.max_tokens) {
      update.end = SequenceEnd::kLength;
    }
    update.token = std::move(*token);
  } else if (!sequence->draws() && slice.end() == sequence->prompt_length) {
    update.end = SequenceEnd::kLength;
  }
  pages_.Offer(sequence->tokens, slice.end(), &sequence->pages);
  if (!sequence->prompt_computed && slice.end() >= sequence->prompt_length) {
    sequence->prompt_computed = true;
    waiting_.Free(sequence->id);
  }
  if (update.end != SequenceEnd::kNotYet) End(sequence);
}

absl::StatusOr<std::vector<SequenceUpdate>> Scheduler::Apply(
    StepResult result) {
  FACET_CHECK(!unapplied_.empty());
  const PlannedStep step = std::move(unapplied_.front());
  unapplied_.pop_front();
  FACET_RETURN_IF_ERROR(CheckAnswers(step, result, limits_.vocab_size));
  completed_ = step.step;

  std::vector<SequenceUpdate> updates;
  updates.reserve(step.slices.size());
  auto next_token = result.tokens.begin();
  auto next_logprob = result.prompt_logprobs.begin();
  for (const PlannedSlice& slice : step.slices) {
    SampledToken* const token = slice.sample ? &*next_token++ : nullptr;
    const auto logprobs = next_logprob;
    next_logprob += slice.prompt_logprobs;
    const auto found = sequences_.find(slice.sequence);
    if (found == sequences_.end() || found->second->run != slice.run) {
      continue;  // ended, or begins again
    }
    SequenceUpdate& update = updates.emplace_back();
    ApplySlice(found->second.get(), slice, token, &update);
    update.prompt_logprobs.assign(std::make_move_iterator(logprobs),
                                  std::make_move_iterator(next_logprob));
    if (slice.logits) {
      for (LogitsBlock& block : result.logits) {
        if (block.sequence == slice.sequence) {
          update.logits.push_back(std::move(block));
        }
      }
    }
    const bool brings_nothing = !slice.sample && !slice.logits &&
                                slice.prompt_logprobs == 0 &&
                                update.end == SequenceEnd::kNotYet;
    if (brings_nothing) updates.pop_back();
  }
  return updates;
}

SchedulerStats Scheduler::stats() const {
  const auto use = [](const PagePool& pool) {
    return PoolUse{pool.held(), pool.cached(), pool.blank()};
  };
  SchedulerStats stats;
  stats.waiting = waiting();
  stats.running = running();
  stats.preemptions = preemptions_;
  stats.prefix_queries = prefix_queries_;
  stats.prefix_hits = prefix_hits_;
  stats.sliding = use(pages_.sliding());
  stats.global = use(pages_.global());
  return stats;
}

}  // namespace facet
