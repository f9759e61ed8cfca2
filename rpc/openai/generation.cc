#include "rpc/openai/generation.h"

#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace facet {
namespace {

// `status`, with the prompt under the name that a client gave it.
absl::Status NamePrompt(const absl::Status& status, const char* prompt_field) {
  absl::string_view rest = status.message();
  if (!absl::ConsumePrefix(&rest, "prompt:")) return status;
  absl::Status named(status.code(), absl::StrCat(prompt_field, ":", rest));
  status.ForEachPayload([&](absl::string_view url, const absl::Cord& payload) {
    named.SetPayload(url, payload);
  });
  return named;
}

// Kept by the engine's callbacks until the last event, and by a task meanwhile.
class Generation : public std::enable_shared_from_this<Generation> {
 public:
  Generation(std::shared_ptr<ApiCall> call, const FrontDoor* front_door,
             RequestLedger* ledger, std::shared_ptr<WorkThreads> threads,
             std::unique_ptr<AnswerWriter> writer)
      : call_(std::move(call)),
        front_door_(front_door),
        ledger_(ledger),
        threads_(std::move(threads)),
        writer_(std::move(writer)) {}

  void Start(std::vector<GenerateRequest> requests, const char* prompt_field) {
    running_ = requests.size();
    const absl::StatusOr<RequestRun> run = StartRun(
        front_door_, ledger_, call_->key(), std::move(requests), call_->pass(),
        [self = shared_from_this()](size_t request, TextEvent event) {
          self->Push(request, std::move(event));
        });
    if (!run.ok()) {
      ended_ = true;
      call_->Fail(NamePrompt(run.status(), prompt_field));
      return;
    }
    leave_ = run->leave;
    if (run->again) call_->SetAgain();
    writer_->Begin();
    call_->OnGone(leave_);
    Drain();
  }

 private:
  // On the engine's thread.
  void Push(size_t request, TextEvent event) {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      events_.emplace_back(request, std::move(event));
      if (draining_) return;
      draining_ = true;
    }
    threads_->Post([self = shared_from_this()] { self->Drain(); });
  }

  // One at a time: whoever set draining_.
  void Drain() {
    for (;;) {
      std::deque<std::pair<size_t, TextEvent>> events;
      {
        const std::lock_guard<std::mutex> lock(mutex_);
        events.swap(events_);
        if (events.empty()) {
          draining_ = false;
          return;
        }
      }
      for (auto& [request, event] : events) Take(request, std::move(event));
    }
  }

  void Take(size_t request, TextEvent event) {
    if (ended_) return;
    if (event.finish == FinishReason::kError ||
        event.finish == FinishReason::kCancelled) {
      ended_ = true;
      leave_();
      writer_->Fail(event.status);
      return;
    }
    const bool done = event.done;
    call_->SetAtOnce(event.again);
    if (!writer_->Take(request, std::move(event))) {
      ended_ = true;
      leave_();
      writer_->Fail(absl::CancelledError("the client reads too slowly"));
      return;
    }
    if (done && --running_ == 0) {
      ended_ = true;
      writer_->End();
    }
  }

  const std::shared_ptr<ApiCall> call_;
  const FrontDoor* const front_door_;
  RequestLedger* const ledger_;
  const std::shared_ptr<WorkThreads> threads_;
  const std::unique_ptr<AnswerWriter> writer_;

  // Of the thread that drains; the one that starts is the first.
  size_t running_ = 0;  // requests
  bool ended_ = false;
  std::function<void()> leave_;

  std::mutex mutex_;
  std::deque<std::pair<size_t, TextEvent>> events_;
  bool draining_ = true;
};

}  // namespace

void StartGeneration(std::shared_ptr<ApiCall> call, const FrontDoor* front_door,
                     RequestLedger* ledger,
                     std::shared_ptr<WorkThreads> threads,
                     std::vector<GenerateRequest> requests,
                     const char* prompt_field,
                     std::unique_ptr<AnswerWriter> writer) {
  std::make_shared<Generation>(std::move(call), front_door, ledger,
                               std::move(threads), std::move(writer))
      ->Start(std::move(requests), prompt_field);
}

}  // namespace facet
