#include "scheduler/simulate/simulation.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <optional>
#include <queue>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "runtime/executor/fake_executor.h"
#include "scheduler/simulate/pipeline_clock.h"
#include "scheduler/simulate/random.h"

namespace facet {
namespace {

// Token `index` of the text that is known by `text`.
int32_t TokenOf(uint64_t text, int64_t index, int64_t vocab_size) {
  return static_cast<int32_t>(
      ScrambleBits(text ^ ScrambleBits(static_cast<uint64_t>(index))) %
      static_cast<uint64_t>(vocab_size));
}

uint64_t TextNamed(const std::string& name, uint64_t seed) {
  uint64_t text = ScrambleBits(seed);
  for (const char c : name) {
    text = ScrambleBits(text ^ static_cast<unsigned char>(c));
  }
  return text;
}

class Simulation {
 public:
  Simulation(const SimulationOptions& options, SimulationObserver* observer);

  absl::StatusOr<SimulationReport> Run();

 private:
  enum class EventKind { kArrival, kCancel, kMask, kResult, kFailure, kReady };

  struct Event {
    double at_s = 0;
    uint64_t order = 0;  // of equal times, the first to be known is the first
    EventKind kind = EventKind::kArrival;
    // A request (kArrival, kCancel), a sequence (kMask), or the failures so far
    // (kResult, kReady: void once there has been another).
    uint64_t subject = 0;
    bool expired = false;  // kCancel
    bool operator>(const Event& other) const {
      return at_s != other.at_s ? at_s > other.at_s : order > other.order;
    }
  };

  struct Conversation {
    std::vector<int32_t> tokens;  // prompt and answer so far
    std::vector<int> turns;       // requests
    size_t next_turn = 0;
  };

  struct RequestState {
    double arrival_s = 0;
    int open = 0;      // sequences that have not ended
    bool cut = false;  // cancelled or expired
    bool started = false;
    bool answered = false;
    std::vector<SequenceId> sequences;
  };

  struct LiveSequence {
    SimSequence known;
    bool masked = false;
    double last_token_s = 0;
  };

  void Push(double at_s, EventKind kind, uint64_t subject,
            bool expired = false);
  // Overtaken by another event: nothing is left to do.
  bool IsVoid(const Event& event) const;
  absl::Status Handle(const Event& event);
  absl::Status Arrive(int request);
  absl::Status Cut(int request, bool expired);
  void PushMask(const LiveSequence& sequence);
  absl::Status SetMask(const SimSequence& sequence);
  absl::Status ApplyResult();
  absl::Status Update(const SequenceUpdate& update);
  absl::Status Fail();
  absl::Status PlanSteps();
  absl::Status CountStep(const StepPlan& plan);
  void NoteLevels();
  // A sequence is no longer the scheduler's.
  void EndSequence(SequenceId id);
  void EndRequest(int request);
  void ScheduleNextTurn(const std::string& conversation);
  std::vector<int32_t> PromptOf(int request) const;
  absl::Status CheckNothingLeft() const;
  SimulationReport Report();

  // Measures what the scheduler takes.
  template <typename Call>
  auto Timed(double* seconds, const Call& call) {
    const auto begin = std::chrono::steady_clock::now();
    auto result = call();
    *seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begin)
            .count();
    return result;
  }

  const SimulationOptions& options_;
  SimulationObserver* const observer_;
  Scheduler scheduler_;
  std::unique_ptr<FakeExecutor> executor_;
  PipelineClock clock_;

  double now_s_ = 0;
  uint64_t next_order_ = 0;
  std::priority_queue<Event, std::vector<Event>, std::greater<>> events_;
  size_t next_failure_ = 0;
  bool down_ = false;

  std::vector<RequestState> requests_;
  absl::flat_hash_map<std::string, Conversation> conversations_;
  uint64_t next_sequence_ = 1;
  absl::flat_hash_map<SequenceId, LiveSequence> live_;

  SimulationReport report_;
  std::vector<float> first_token_s_, inter_token_s_, end_to_end_s_, queue_s_;
  std::vector<float> scheduler_us_;
  double apply_s_ = 0;  // since the last plan
  TimeMean running_, waiting_;
  TimeMean sliding_held_, sliding_cached_, global_held_, global_cached_;
};

std::unique_ptr<FakeExecutor> NewExecutor(const SimulationOptions& options) {
  FakeExecutorOptions executor;
  executor.pools = options.limits.pools;
  executor.vocab_size = options.limits.vocab_size;
  executor.sliding_window = options.limits.sliding_window;
  executor.max_step_tokens = options.limits.max_step_tokens;
  executor.stages = std::max(options.stages, options.limits.max_unapplied - 1);
  executor.read_everything = options.read_everything;
  return std::make_unique<FakeExecutor>(std::move(executor));
}

Simulation::Simulation(const SimulationOptions& options,
                       SimulationObserver* observer)
    : options_(options),
      observer_(observer),
      scheduler_(options.limits),
      executor_(NewExecutor(options)),
      clock_(options.model, options.machine, options.stages),
      requests_(options.workload.requests.size()) {
  const Workload& workload = options.workload;
  for (size_t i = 0; i < workload.requests.size(); ++i) {
    const SimRequest& request = workload.requests[i];
    if (request.conversation.empty()) {
      Push(request.arrival_s, EventKind::kArrival, i);
      continue;
    }
    Conversation& conversation = conversations_[request.conversation];
    conversation.turns.push_back(static_cast<int>(i));
    if (conversation.turns.size() == 1) {
      ScheduleNextTurn(request.conversation);
    }
  }
  for (size_t i = 0; i < workload.failures.size(); ++i) {
    Push(workload.failures[i].at_s, EventKind::kFailure, i);
  }
}

void Simulation::Push(double at_s, EventKind kind, uint64_t subject,
                      bool expired) {
  if (at_s == kNever) return;
  events_.push({at_s, next_order_++, kind, subject, expired});
}

void Simulation::ScheduleNextTurn(const std::string& name) {
  Conversation& conversation = conversations_[name];
  if (conversation.next_turn == conversation.turns.size()) return;
  const int request = conversation.turns[conversation.next_turn];
  const SimRequest& turn = options_.workload.requests[request];
  const double earliest_s =
      conversation.next_turn == 0 ? 0 : now_s_ + turn.think_s;
  ++conversation.next_turn;
  Push(std::max(turn.arrival_s, earliest_s), EventKind::kArrival, request);
}

std::vector<int32_t> Simulation::PromptOf(int request) const {
  const SimRequest& wanted = options_.workload.requests[request];
  const int64_t vocab_size = options_.limits.vocab_size;
  std::vector<int32_t> prompt;
  prompt.reserve(wanted.prompt_tokens);
  const auto conversation = conversations_.find(wanted.conversation);
  if (conversation != conversations_.end()) {
    prompt = conversation->second.tokens;
  }
  if (prompt.empty()) {
    const uint64_t text = TextNamed(wanted.prefix, options_.seed);
    const int64_t shared =
        std::min(wanted.prefix_tokens, wanted.prompt_tokens - 1);
    for (int64_t i = 0; i < shared; ++i) {
      prompt.push_back(TokenOf(text, i, vocab_size));
    }
  }
  const uint64_t text = ScrambleBits(options_.seed ^ ScrambleBits(request));
  do {
    prompt.push_back(
        TokenOf(text, static_cast<int64_t>(prompt.size()), vocab_size));
  } while (static_cast<int64_t>(prompt.size()) < wanted.prompt_tokens);
  return prompt;
}

absl::Status Simulation::Arrive(int request) {
  const SimRequest& wanted = options_.workload.requests[request];
  RequestState& state = requests_[request];
  state.arrival_s = now_s_;
  ++report_.requests;
  if (scheduler_.waiting() + wanted.samples > options_.most_waiting) {
    ++report_.turned_away;
    ScheduleNextTurn(wanted.conversation);
    return absl::OkStatus();
  }
  const std::vector<int32_t> prompt = PromptOf(request);
  for (int sample = 0; sample < wanted.samples; ++sample) {
    LiveSequence sequence;
    sequence.known.id = {next_sequence_++};
    sequence.known.request = request;
    sequence.known.sample = sample;
    sequence.known.prompt = prompt;

    SequenceRequest asked;
    asked.prompt = prompt;
    asked.max_tokens =
        wanted.max_tokens > 0 ? wanted.max_tokens : wanted.output_tokens;
    asked.sampling.seed = sample;
    asked.priority = wanted.priority;
    if (sample > 0) asked.sibling = state.sequences.front();
    if (options_.adjust) options_.adjust(sequence.known, &asked);
    if (!scheduler_.Check(asked).ok()) {
      if (sample > 0) {
        return absl::InternalError(
            "Check() refuses a sample, it took the one before");
      }
      ++report_.refused;
      ScheduleNextTurn(wanted.conversation);
      return absl::OkStatus();
    }
    sequence.masked = asked.masked;
    if (observer_ != nullptr) {
      FACET_RETURN_IF_ERROR(observer_->OnAdd(sequence.known, asked));
    }
    scheduler_.Add(sequence.known.id, std::move(asked));
    PushMask(sequence);
    ++state.open;
    state.sequences.push_back(sequence.known.id);
    live_.emplace(sequence.known.id, std::move(sequence));
  }
  Push(now_s_ + wanted.cancel_after_s, EventKind::kCancel, request);
  Push(now_s_ + wanted.deadline_s, EventKind::kCancel, request,
       /*expired=*/true);
  return absl::OkStatus();
}

absl::Status Simulation::Cut(int request, bool expired) {
  RequestState& state = requests_[request];
  state.cut = true;
  ++(expired ? report_.expired : report_.cancelled);
  for (const SequenceId id : state.sequences) {
    const auto sequence = live_.find(id);
    if (sequence == live_.end()) continue;
    scheduler_.Cancel(id);
    if (observer_ != nullptr) {
      FACET_RETURN_IF_ERROR(observer_->OnCancel(sequence->second.known));
    }
    EndSequence(id);
  }
  return absl::OkStatus();
}

void Simulation::PushMask(const LiveSequence& sequence) {
  if (!sequence.masked) return;
  Push(now_s_ + options_.mask_s, EventKind::kMask, sequence.known.id.value);
}

absl::Status Simulation::SetMask(const SimSequence& sequence) {
  std::shared_ptr<const TokenMask> mask;
  if (options_.mask) mask = options_.mask(sequence);
  if (observer_ != nullptr) {
    FACET_RETURN_IF_ERROR(observer_->OnMask(sequence, mask));
  }
  scheduler_.SetMask(sequence.id, std::move(mask));
  return absl::OkStatus();
}

void Simulation::EndSequence(SequenceId id) {
  const auto sequence = live_.find(id);
  SimSequence& known = sequence->second.known;
  const int request = known.request;
  const SimRequest& wanted = options_.workload.requests[request];
  if (known.sample == 0 && !wanted.conversation.empty()) {
    std::vector<int32_t>& tokens = conversations_[wanted.conversation].tokens;
    tokens = std::move(known.prompt);
    tokens.insert(tokens.end(), known.answer.begin(), known.answer.end());
  }
  live_.erase(sequence);
  if (--requests_[request].open == 0) EndRequest(request);
}

void Simulation::EndRequest(int request) {
  const RequestState& state = requests_[request];
  if (!state.cut) {
    ++report_.completed;
    end_to_end_s_.push_back(static_cast<float>(now_s_ - state.arrival_s));
  }
  ScheduleNextTurn(options_.workload.requests[request].conversation);
}

absl::Status Simulation::Update(const SequenceUpdate& update) {
  const auto found = live_.find(update.sequence);
  if (found == live_.end()) {
    return absl::InternalError(absl::StrCat("sequence ", update.sequence.value,
                                            " goes on after its end"));
  }
  LiveSequence& sequence = found->second;
  SimSequence& known = sequence.known;
  RequestState& state = requests_[known.request];
  const SimRequest& wanted = options_.workload.requests[known.request];
  if (update.token.has_value()) {
    if (!known.answer.empty()) {
      inter_token_s_.push_back(
          static_cast<float>(now_s_ - sequence.last_token_s));
    } else if (!state.answered) {
      state.answered = true;
      first_token_s_.push_back(static_cast<float>(now_s_ - state.arrival_s));
      report_.prompt_tokens += static_cast<int64_t>(known.prompt.size());
    }
    sequence.last_token_s = now_s_;
    known.answer.push_back(update.token->token);
    ++report_.output_tokens;
  }
  if (observer_ != nullptr) {
    FACET_RETURN_IF_ERROR(observer_->OnUpdate(known, update));
  }
  if (update.end != SequenceEnd::kNotYet) {
    EndSequence(update.sequence);
  } else if (static_cast<int64_t>(known.answer.size()) >=
             wanted.output_tokens) {
    scheduler_.Cancel(update.sequence);
    if (observer_ != nullptr) {
      FACET_RETURN_IF_ERROR(observer_->OnCancel(known));
    }
    EndSequence(update.sequence);
  } else if (update.token.has_value()) {
    PushMask(sequence);
  }
  return absl::OkStatus();
}

absl::Status Simulation::ApplyResult() {
  FACET_ASSIGN_OR_RETURN(StepResult result, executor_->Finish());
  if (observer_ != nullptr) {
    FACET_RETURN_IF_ERROR(observer_->OnResult(&result));
  }
  double seconds = 0;
  FACET_ASSIGN_OR_RETURN(
      const std::vector<SequenceUpdate> updates,
      Timed(&seconds, [&] { return scheduler_.Apply(std::move(result)); }));
  apply_s_ += seconds;
  for (const SequenceUpdate& update : updates) {
    FACET_RETURN_IF_ERROR(Update(update));
  }
  return absl::OkStatus();
}

absl::Status Simulation::Fail() {
  const SimFailure& failure = options_.workload.failures[next_failure_++];
  ++report_.failures;
  down_ = true;
  executor_->Reset();
  clock_.Reset(now_s_);
  scheduler_.Restart();
  Push(now_s_ + failure.recovery_s, EventKind::kReady, next_failure_);
  return observer_ != nullptr ? observer_->OnRestart() : absl::OkStatus();
}

bool Simulation::IsVoid(const Event& event) const {
  switch (event.kind) {
    case EventKind::kArrival:
    case EventKind::kFailure:
      return false;
    case EventKind::kCancel:
      return requests_[event.subject].open == 0;
    case EventKind::kMask:
      return !live_.contains(SequenceId{event.subject});
    case EventKind::kResult:
    case EventKind::kReady:
      return event.subject != next_failure_;
  }
  return false;
}

absl::Status Simulation::Handle(const Event& event) {
  switch (event.kind) {
    case EventKind::kArrival:
      return Arrive(static_cast<int>(event.subject));
    case EventKind::kCancel:
      return Cut(static_cast<int>(event.subject), event.expired);
    case EventKind::kMask:
      return SetMask(live_.at(SequenceId{event.subject}).known);
    case EventKind::kResult:
      return ApplyResult();
    case EventKind::kFailure:
      return Fail();
    case EventKind::kReady:
      down_ = false;
      clock_.Reset(now_s_);
      return absl::OkStatus();
  }
  return absl::OkStatus();
}

absl::Status Simulation::CountStep(const StepPlan& plan) {
  bool decodes = false;
  bool prefills = false;
  for (const SequenceSlice& slice : plan.slices) {
    report_.computed_tokens += static_cast<int64_t>(slice.tokens.size());
    const auto live = live_.find(slice.sequence);
    if (live == live_.end()) {
      return absl::InternalError(absl::StrCat("sequence ", slice.sequence.value,
                                              " runs, it has ended"));
    }
    const SimSequence& known = live->second.known;
    const bool decode =
        !slice.begins.has_value() && slice.tokens.size() == 1 &&
        slice.start >= static_cast<int64_t>(known.prompt.size());
    (decode ? decodes : prefills) = true;
    RequestState& state = requests_[known.request];
    if (!state.started) {
      state.started = true;
      queue_s_.push_back(static_cast<float>(now_s_ - state.arrival_s));
    }
  }
  ++report_.steps;
  ++(decodes ? (prefills ? report_.mixed_steps : report_.decode_steps)
             : (prefills ? report_.prefill_steps : report_.empty_steps));
  return absl::OkStatus();
}

absl::Status Simulation::PlanSteps() {
  while (!down_ && scheduler_.unapplied() < options_.limits.max_unapplied) {
    double seconds = 0;
    std::optional<StepPlan> plan =
        Timed(&seconds, [&] { return scheduler_.PlanStep(); });
    if (!plan.has_value()) break;
    scheduler_us_.push_back(static_cast<float>(1e6 * (seconds + apply_s_)));
    apply_s_ = 0;
    if (observer_ != nullptr) {
      FACET_RETURN_IF_ERROR(observer_->OnPlan(&*plan, scheduler_));
    }
    FACET_RETURN_IF_ERROR(CountStep(*plan));
    FACET_RETURN_IF_ERROR(executor_->Start(*plan));
    const double way_s = options_.machine.round_trip_s / 2;
    Push(clock_.Run(*plan, now_s_ + way_s) + way_s, EventKind::kResult,
         next_failure_);
  }
  NoteLevels();
  return absl::OkStatus();
}

void Simulation::NoteLevels() {
  const SchedulerStats stats = scheduler_.stats();
  running_.Set(now_s_, stats.running);
  waiting_.Set(now_s_, stats.waiting);
  sliding_held_.Set(now_s_, stats.sliding.held);
  sliding_cached_.Set(now_s_, stats.sliding.cached);
  global_held_.Set(now_s_, stats.global.held);
  global_cached_.Set(now_s_, stats.global.cached);
}

absl::Status Simulation::CheckNothingLeft() const {
  const SchedulerStats stats = scheduler_.stats();
  if (scheduler_.waiting() + scheduler_.running() > 0) {
    return absl::InternalError(absl::StrCat(
        "nothing is planned and nothing expected, but ", scheduler_.waiting(),
        " sequences wait and ", scheduler_.running(), " run"));
  }
  if (!live_.empty()) {
    return absl::InternalError(
        absl::StrCat("the scheduler has nothing left, but ", live_.size(),
                     " sequences have not ended"));
  }
  if (stats.sliding.held + stats.global.held > 0) {
    return absl::InternalError(
        absl::StrCat("pages held at the end: ", stats.sliding.held,
                     " sliding, ", stats.global.held, " global"));
  }
  if (executor_->sequences() > 0) {
    return absl::InternalError(absl::StrCat("workers were not told the end of ",
                                            executor_->sequences(),
                                            " sequences"));
  }
  return absl::OkStatus();
}

absl::StatusOr<SimulationReport> Simulation::Run() {
  const auto at_this_time = [&](const absl::Status& status) {
    return Annotate(status, absl::StrCat("at ", now_s_, " s"));
  };
  const auto next = [&]() -> const Event* {
    while (!events_.empty() && IsVoid(events_.top())) events_.pop();
    return events_.empty() ? nullptr : &events_.top();
  };
  while (next() != nullptr && next()->at_s <= options_.end_s) {
    now_s_ = next()->at_s;
    while (next() != nullptr && next()->at_s == now_s_) {
      const Event event = *next();
      events_.pop();
      const absl::Status status = Handle(event);
      if (!status.ok()) return at_this_time(status);
    }
    absl::Status status = PlanSteps();
    if (status.ok() && observer_ != nullptr) {
      status = observer_->AfterEvents(now_s_, scheduler_);
    }
    if (!status.ok()) return at_this_time(status);
  }
  if (events_.empty()) {
    const absl::Status status = CheckNothingLeft();
    if (!status.ok()) return at_this_time(status);
  } else {
    now_s_ = options_.end_s;
  }
  return Report();
}

SimulationReport Simulation::Report() {
  for (TimeMean* level : {&running_, &waiting_, &sliding_held_,
                          &sliding_cached_, &global_held_, &global_cached_}) {
    level->End(now_s_);
  }
  const auto level = [](const TimeMean& mean) {
    return LevelReport{mean.mean(), mean.max()};
  };
  const SchedulerStats stats = scheduler_.stats();
  const KvPoolSizes& pools = options_.limits.pools;
  report_.unfinished =
      std::count_if(requests_.begin(), requests_.end(),
                    [](const RequestState& state) { return state.open > 0; });
  report_.simulated_s = now_s_;
  report_.first_token_s = Describe(std::move(first_token_s_));
  report_.inter_token_s = Describe(std::move(inter_token_s_));
  report_.end_to_end_s = Describe(std::move(end_to_end_s_));
  report_.queue_s = Describe(std::move(queue_s_));
  report_.scheduler_us = Describe(std::move(scheduler_us_));
  report_.running = level(running_);
  report_.waiting = level(waiting_);
  report_.preemptions = stats.preemptions;
  report_.prefix_queries = stats.prefix_queries;
  report_.prefix_hits = stats.prefix_hits;
  report_.sliding = {pools.sliding_pages, level(sliding_held_),
                     level(sliding_cached_)};
  report_.global = {pools.global_pages, level(global_held_),
                    level(global_cached_)};
  if (now_s_ > 0) {
    report_.stage_busy =
        clock_.BusySeconds(now_s_) / (now_s_ * options_.stages);
  }
  return report_;
}

}  // namespace

absl::Status SimulationObserver::OnAdd(const SimSequence&,
                                       const SequenceRequest&) {
  return absl::OkStatus();
}
absl::Status SimulationObserver::OnCancel(const SimSequence&) {
  return absl::OkStatus();
}
absl::Status SimulationObserver::OnMask(const SimSequence&,
                                        std::shared_ptr<const TokenMask>) {
  return absl::OkStatus();
}
absl::Status SimulationObserver::OnPlan(StepPlan*, const Scheduler&) {
  return absl::OkStatus();
}
absl::Status SimulationObserver::OnResult(StepResult*) {
  return absl::OkStatus();
}
absl::Status SimulationObserver::OnUpdate(const SimSequence&,
                                          const SequenceUpdate&) {
  return absl::OkStatus();
}
absl::Status SimulationObserver::OnRestart() { return absl::OkStatus(); }
absl::Status SimulationObserver::AfterEvents(double, const Scheduler&) {
  return absl::OkStatus();
}

absl::StatusOr<SimulationReport> Simulate(const SimulationOptions& options,
                                          SimulationObserver* observer) {
  return Simulation(options, observer).Run();
}

}  // namespace facet
