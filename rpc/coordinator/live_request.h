// One request while the engine runs it: its answers, what each has shown, and
// the clock of it all. Lives on the engine's thread.
#ifndef FACET_RPC_COORDINATOR_LIVE_REQUEST_H_
#define FACET_RPC_COORDINATOR_LIVE_REQUEST_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "rpc/coordinator/answer_stream.h"
#include "rpc/coordinator/generate_request.h"
#include "rpc/coordinator/output_form.h"
#include "rpc/metrics/serving_metrics.h"
#include "scheduler/batching/scheduler.h"

namespace facet {

class LiveRequest {
 public:
  using Callback = std::function<void(GenerateEvent event)>;

  // `tokenizer` may be null: events then carry no text. `forms` is needed where
  // the request has a grammar or a budget of thoughts, `metrics` may be null;
  // all outlive it.
  LiveRequest(GenerateRequest request, Callback callback,
              const Tokenizer* tokenizer, OutputForms* forms,
              ServingMetrics* metrics, absl::Time arrival);

  // Answers drawn: best_of or n.
  int answers() const { return static_cast<int>(answers_.size()); }
  int unfinished() const { return unfinished_; }
  absl::Time deadline() const { return request_.deadline; }

  // What the scheduler is asked for answer `index`.
  SequenceRequest Sequence(int index) const;

  // Whether `scheduler` can run every answer: see Scheduler::Check().
  absl::Status CheckWith(const Scheduler& scheduler) const;

  // Where answer `index` stands in its form, and in which kind of text; null
  // where it has none.
  const OutputForm* form(int index) const;
  PartKind kind(int index) const { return answers_[index].stream->kind(); }

  // The scheduler has begun to compute answer `index`, `cached` tokens of which
  // it found in the prefix cache.
  void Scheduled(int index, int64_t cached, absl::Time now);

  // Tells what `update` brought. True: the answer has ended.
  bool Take(int index, SequenceUpdate update, absl::Time now);

  // Ends answer `index`, or all that have not ended.
  void End(int index, FinishReason finish, const absl::Status& status,
           absl::Time now);
  void EndAll(FinishReason finish, const absl::Status& status, absl::Time now);

 private:
  struct Answer {
    std::optional<AnswerStream> stream;
    std::optional<OutputForm> form;
    int64_t tokens = 0;
    double logprob = 0;  // of all tokens
    absl::Time first_token = absl::InfinitePast();
    absl::Time last_token = absl::InfinitePast();
    bool ended = false;
    GenerateEvent held;  // best_of: until all have ended
  };

  bool holds() const { return answers() > request_.n; }
  bool masked() const {
    return request_.grammar != nullptr || request_.max_thought_tokens >= 0;
  }
  // `tokens` were shown elsewhere.
  void TakeDrawn(Answer& answer, const std::vector<int32_t>& tokens);
  void Count(Answer& answer, const SampledToken& token, absl::Time now);
  // Moves the grammar on. What it says may end the answer.
  absl::Status Follow(Answer& answer, int32_t token, PartKind before);
  void Finish(Answer& answer, GenerateEvent event, absl::Time now);
  void Tell(int index, GenerateEvent event);
  void TellBest();
  Usage UsageOf(const Answer& answer, absl::Time now) const;
  void Measure(FinishReason finish, absl::Time now);

  GenerateRequest request_;  // stop strings moved to the streams
  const Callback callback_;
  ServingMetrics* const metrics_;
  const absl::Time arrival_;
  std::vector<Answer> answers_;
  int unfinished_ = 0;
  int told_ = 0;  // answers whose last event is out
  int64_t cached_ = -1;
  absl::Time scheduled_ = absl::InfiniteFuture();
};

}  // namespace facet

#endif  // FACET_RPC_COORDINATOR_LIVE_REQUEST_H_
