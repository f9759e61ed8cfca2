#include "rpc/coordinator/engine.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "absl/container/btree_map.h"
#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "rpc/coordinator/answer_stream.h"
#include "runtime/tokenizer/utf8.h"
#include "scheduler/batching/scheduler.h"

namespace facet {
namespace {

constexpr size_t kMaxStopStrings = 16;
constexpr size_t kMaxStopBytes = 256;
constexpr size_t kMaxStopIds = 256;
constexpr int kMaxTopLogprobs = 64;
// Of one step's reply when whole logits are wanted.
constexpr int64_t kMaxLogitsBytes = int64_t{256} << 20;

absl::Status OutOfRange(absl::string_view field, double value,
                        absl::string_view legal) {
  return absl::InvalidArgumentError(
      absl::StrCat(field, ": ", value, " is out of range, legal is ", legal));
}

absl::Status CheckSampling(const SamplingParams& sampling) {
  if (!(sampling.temperature >= 0) || !std::isfinite(sampling.temperature)) {
    return OutOfRange("temperature", sampling.temperature,
                      "0 (greedy) and above");
  }
  if (sampling.top_k < 0) {
    return OutOfRange("top_k", sampling.top_k, "0 (off) and above");
  }
  if (!(sampling.top_p > 0 && sampling.top_p <= 1)) {
    return OutOfRange("top_p", sampling.top_p, "above 0, up to 1 (off)");
  }
  if (!(sampling.min_p >= 0 && sampling.min_p < 1)) {
    return OutOfRange("min_p", sampling.min_p, "0 (off) up to below 1");
  }
  if (sampling.top_logprobs < 0 || sampling.top_logprobs > kMaxTopLogprobs) {
    return OutOfRange("top_logprobs", sampling.top_logprobs, "0 to 64");
  }
  return absl::OkStatus();
}

absl::Status CheckStops(const GenerateRequest& request, bool has_tokenizer) {
  if (request.stop_ids.size() > kMaxStopIds) {
    return OutOfRange("stop_ids: count", request.stop_ids.size(), "0 to 256");
  }
  if (request.stop_strings.size() > kMaxStopStrings) {
    return OutOfRange("stop: count", request.stop_strings.size(), "0 to 16");
  }
  for (const std::string& stop : request.stop_strings) {
    if (stop.empty() || stop.size() > kMaxStopBytes) {
      return OutOfRange("stop: length in bytes", stop.size(), "1 to 256");
    }
    if (ValidUtf8Prefix(stop) < stop.size()) {
      return absl::InvalidArgumentError("stop: not UTF-8");
    }
  }
  if (!request.stop_strings.empty() && !has_tokenizer) {
    return absl::InvalidArgumentError(
        "stop: the model has no tokenizer, so only stop_ids can be used");
  }
  return absl::OkStatus();
}

SchedulerLimits MakeLimits(const ModelConfig& model, const KvPoolSizes& pools,
                           const EngineLimits& limits) {
  SchedulerLimits result;
  result.pools = pools;
  result.vocab_size = model.vocab_size;
  result.sliding_window = model.sliding_window;
  result.max_positions = model.max_position_embeddings;
  result.max_step_tokens = limits.max_step_tokens;
  result.max_sequences = limits.max_sequences;
  const int64_t row_bytes = model.vocab_size * int64_t{sizeof(float)};
  result.max_logits_rows = static_cast<int>(std::clamp<int64_t>(
      kMaxLogitsBytes / row_bytes, 1, limits.max_step_tokens));
  return result;
}

class EngineImpl : public Engine {
 public:
  EngineImpl(Executor* executor, const ModelConfig* model,
             const Tokenizer* tokenizer, const EngineLimits& limits)
      : executor_(executor),
        tokenizer_(tokenizer),
        limits_(limits),
        scheduler_(MakeLimits(*model, executor->pools(), limits)),
        thread_([this] { Run(); }) {}

  ~EngineImpl() override {
    Drain(absl::ZeroDuration());
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      stopping_ = true;
    }
    wake_.notify_all();
    thread_.join();
  }

  absl::StatusOr<uint64_t> Submit(GenerateRequest request,
                                  Callback callback) override {
    FACET_RETURN_IF_ERROR(CheckSampling(request.sampling));
    FACET_RETURN_IF_ERROR(CheckStops(request, tokenizer_ != nullptr));
    Incoming incoming;
    if (tokenizer_ != nullptr && !request.prompt_logits) {
      incoming.request.answer.emplace(tokenizer_, request.prompt,
                                      std::move(request.stop_strings));
    }
    SequenceRequest& sequence = incoming.sequence;
    sequence.prompt = std::move(request.prompt);
    sequence.sampling = request.sampling;
    sequence.max_tokens = request.max_tokens;
    sequence.stop_ids = std::move(request.stop_ids);
    sequence.prompt_logits = request.prompt_logits;
    FACET_RETURN_IF_ERROR(scheduler_.Check(sequence));
    incoming.request.callback = std::move(callback);

    const std::lock_guard<std::mutex> lock(mutex_);
    if (!health_.ok()) {
      return absl::UnavailableError(
          absl::StrCat("the model can no longer run: ", health_.message()));
    }
    if (draining_) {
      return absl::UnavailableError("the server is shutting down");
    }
    const size_t queued = incoming_.size() + waiting_;
    if (queued >= static_cast<size_t>(limits_.max_queue)) {
      return absl::ResourceExhaustedError(
          absl::StrCat("the queue is full: ", queued,
                       " requests are waiting; try again later"));
    }
    incoming.id = next_id_++;
    incoming_.push_back(std::move(incoming));
    wake_.notify_all();
    return incoming_.back().id;
  }

  void Cancel(uint64_t request) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    cancelled_.push_back(request);
    wake_.notify_all();
  }

  void Drain(absl::Duration grace) override {
    std::unique_lock<std::mutex> lock(mutex_);
    draining_ = true;
    wake_.notify_all();
    // A year is for ever, and within what the clock can add.
    const absl::Duration wait =
        std::clamp(grace, absl::ZeroDuration(), absl::Hours(24 * 365));
    const auto done = [this] {
      return idle_ && incoming_.empty() && cancelled_.empty() && !end_all_;
    };
    if (idle_changed_.wait_for(lock, absl::ToChronoNanoseconds(wait), done)) {
      return;
    }
    end_all_ = true;
    wake_.notify_all();
    idle_changed_.wait(lock, done);
  }

  absl::Status health() const override {
    const std::lock_guard<std::mutex> lock(mutex_);
    return health_;
  }

 private:
  struct Request {
    Callback callback;
    std::optional<AnswerStream> answer;
  };
  struct Incoming {
    uint64_t id = 0;
    SequenceRequest sequence;
    Request request;
  };

  // The engine's thread: take what came in, plan, execute, apply.
  void Run() {
    bool busy = false;  // the scheduler may have something to do
    bool failed = false;
    while (TakeCommands(busy)) {
      if (failed) continue;
      const std::optional<StepPlan> plan = scheduler_.PlanStep();
      busy = plan.has_value();
      {
        const std::lock_guard<std::mutex> lock(mutex_);
        waiting_ = scheduler_.waiting();
      }
      if (!busy) continue;
      const absl::Status status = RunStep(*plan);
      if (!status.ok()) {
        Fail(status);
        failed = true;
        busy = false;
      }
    }
  }

  // Waits for something to do unless `busy`. False: the engine ends.
  bool TakeCommands(bool busy) {
    std::deque<Incoming> incoming;
    std::vector<uint64_t> cancelled;
    bool end_all = false;
    {
      std::unique_lock<std::mutex> lock(mutex_);
      const auto something = [this] {
        return !incoming_.empty() || !cancelled_.empty() || end_all_ ||
               stopping_;
      };
      if (!busy && !something()) {
        idle_ = true;
        idle_changed_.notify_all();
        wake_.wait(lock, something);
      }
      if (stopping_) return false;
      idle_ = false;
      std::swap(incoming, incoming_);
      std::swap(cancelled, cancelled_);
      end_all = std::exchange(end_all_, false);
      waiting_ += incoming.size();
    }
    for (Incoming& one : incoming) {
      requests_.try_emplace(one.id, std::move(one.request));
      scheduler_.Add(SequenceId{one.id}, std::move(one.sequence));
    }
    for (const uint64_t id : cancelled) {
      End(id, GenerateEvent(), FinishReason::kCancelled,
          absl::CancelledError("the request was cancelled"));
    }
    if (end_all) {
      EndAll(absl::UnavailableError(
          "the server shut down before the answer ended"));
    }
    return true;
  }

  absl::Status RunStep(const StepPlan& plan) {
    FACET_ASSIGN_OR_RETURN(StepResult result, executor_->Execute(plan));
    FACET_ASSIGN_OR_RETURN(std::vector<SequenceUpdate> updates,
                           scheduler_.Apply(std::move(result)));
    for (SequenceUpdate& update : updates) Deliver(std::move(update));
    return absl::OkStatus();
  }

  void Deliver(SequenceUpdate update) {
    const uint64_t id = update.sequence.value;
    Request& request = requests_.at(id);
    GenerateEvent event;
    event.logits = std::move(update.logits);
    FinishReason finish = FinishReason::kNone;
    if (update.end == SequenceEnd::kStop) finish = FinishReason::kStop;
    if (update.end == SequenceEnd::kLength) finish = FinishReason::kLength;

    if (update.token.has_value()) {
      // The stop id is reported as a token and is no part of the text.
      if (request.answer.has_value() && finish != FinishReason::kStop) {
        request.answer->Push(update.token->token, &event.text, &event.parts);
      }
      event.tokens.push_back(*std::move(update.token));
    }
    if (request.answer.has_value() && finish != FinishReason::kNone) {
      request.answer->Finish(&event.text, &event.parts);
    }
    if (request.answer.has_value() && request.answer->stopped()) {
      finish = FinishReason::kStop;
    }
    if (finish != FinishReason::kNone) {
      End(id, std::move(event), finish, absl::OkStatus());
    } else if (!event.tokens.empty() || !event.logits.empty()) {
      request.callback(std::move(event));
    }
  }

  void End(uint64_t id, GenerateEvent event, FinishReason finish,
           absl::Status status) {
    const auto found = requests_.find(id);
    if (found == requests_.end()) return;
    scheduler_.Cancel(SequenceId{id});
    const Request request = std::move(found->second);
    requests_.erase(found);
    event.finish = finish;
    event.status = std::move(status);
    request.callback(std::move(event));
  }

  void EndAll(const absl::Status& status) {
    while (!requests_.empty()) {
      End(requests_.begin()->first, GenerateEvent(), FinishReason::kError,
          status);
    }
  }

  // Nothing can run any more.
  void Fail(const absl::Status& status) {
    std::deque<Incoming> incoming;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      health_ = status;
      std::swap(incoming, incoming_);
    }
    EndAll(status);
    for (const Incoming& one : incoming) {
      GenerateEvent event;
      event.finish = FinishReason::kError;
      event.status = status;
      one.request.callback(std::move(event));
    }
  }

  Executor* const executor_;
  const Tokenizer* const tokenizer_;
  const EngineLimits limits_;

  // Of the engine's thread; Check() alone is asked from others.
  Scheduler scheduler_;
  absl::btree_map<uint64_t, Request> requests_;

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::condition_variable idle_changed_;
  std::deque<Incoming> incoming_;
  std::vector<uint64_t> cancelled_;
  size_t waiting_ = 0;  // taken in, not yet running
  uint64_t next_id_ = 1;
  bool idle_ = false;
  bool draining_ = false;
  bool end_all_ = false;
  bool stopping_ = false;
  absl::Status health_;

  std::thread thread_;  // last: uses all of the above
};

}  // namespace

std::unique_ptr<Engine> Engine::Create(Executor* executor,
                                       const ModelConfig* model,
                                       const Tokenizer* tokenizer,
                                       const EngineLimits& limits) {
  return std::make_unique<EngineImpl>(executor, model, tokenizer, limits);
}

}  // namespace facet
