#include "rpc/coordinator/request_ledger.h"

#include <algorithm>
#include <atomic>
#include <deque>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "kernels/base/status_macros.h"
#include "rpc/convert/text_convert.h"
#include "rpc/coordinator/journaled_call.h"
#include "rpc/coordinator/retry_after.h"
#include "rpc/proto/inference.pb.h"

namespace facet {
namespace {

absl::Status Left() {
  return absl::CancelledError("the request was cancelled");
}

}  // namespace

// An event that was told, as v1::GenerateResponse: small, and good for a file.
struct RequestLedger::Kept {
  size_t request = 0;
  bool done = false;
  std::string response;

  Kept(size_t of, const TextEvent& event) : request(of), done(event.done) {
    v1::GenerateResponse packed;
    AppendToProto(event, /*logprobs=*/true, &packed);
    response = packed.SerializeAsString();
  }

  TextEvent Event() const {
    v1::GenerateResponse packed;
    packed.ParseFromString(response);
    TextEvent event = FromProto(packed);
    event.done = done;
    event.again = true;
    return event;
  }

  int64_t bytes() const {
    return static_cast<int64_t>(sizeof(Kept) + response.size());
  }
};

// Who gets events. Whoever sets `telling` tells what is queued, in order.
struct RequestLedger::Listener {
  OnRunEvent on_event;
  std::weak_ptr<Entry> entry;
  std::vector<Kept> again;  // before all others
  std::deque<std::pair<size_t, TextEvent>> queued;
  bool telling = false;
  bool over = false;  // nothing is queued any more
};

struct RequestLedger::Entry {
  struct One {
    explicit One(int answers)
        : ended(answers), tokens(answers), unended(answers) {}

    std::vector<bool> ended;      // by answer
    std::vector<int64_t> tokens;  // by answer
    int unended;
  };

  RequestKey key;
  uint64_t journal_id = 0;
  absl::Time begun;
  std::vector<One> requests;
  size_t running = 0;         // of `requests`
  std::vector<uint64_t> ids;  // in the engine
  bool cancelled = false;     // and forgotten
  std::vector<Kept> kept;
  bool too_long = false;  // to be kept
  Listeners listeners;
  std::shared_ptr<const void> pass;
  absl::Time since;  // it ended, or nobody has listened
};

RequestLedger::RequestLedger(const FrontDoor* front_door,
                             const RequestLedgerOptions& options,
                             ServingMetrics* metrics)
    : front_door_(front_door), options_(options), metrics_(metrics) {
  thread_ = std::thread([this] { KeepTime(); });
}

RequestLedger::~RequestLedger() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  thread_.join();
  Tell(left_);
}

absl::StatusOr<RequestRun> RequestLedger::Start(
    const RequestKey& key, std::vector<GenerateRequest> requests,
    std::shared_ptr<const void> pass, OnRunEvent on_event) {
  Listeners told;
  EntryPtr entry;
  std::shared_ptr<Listener> caller;
  RequestRun run;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    FACET_ASSIGN_OR_RETURN(entry, FindOrAdd(key, requests, &run.again));
    if (!run.again) entry->pass = std::move(pass);
    caller = Listen(entry, std::move(on_event), &told);
  }
  Tell(told);
  run.leave = [this, weak = std::weak_ptr<Listener>(caller)] {
    const auto listener = weak.lock();
    if (listener == nullptr) return;
    if (const auto entry = listener->entry.lock()) Leave(entry, listener);
  };
  if (!run.again) {
    FACET_RETURN_IF_ERROR(Submit(entry, std::move(requests), caller));
  } else if (metrics_ != nullptr) {
    metrics_->RequestAskedAgain();
  }
  return run;
}

absl::Time RequestLedger::Begun(const RequestKey& key) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = entries_.find({key.owner, key.key});
  return found == entries_.end() ? absl::Now() : found->second->begun;
}

absl::StatusOr<RequestLedger::EntryPtr> RequestLedger::FindOrAdd(
    const RequestKey& key, const std::vector<GenerateRequest>& requests,
    bool* found) {
  const auto place = entries_.find({key.owner, key.key});
  *found = place != entries_.end();
  if (*found) {
    const EntryPtr& entry = place->second;
    if (entry->key.body != key.body) {
      return absl::AlreadyExistsError(
          "the key names another request: use one key for each request, and "
          "the same body whenever it is asked for again");
    }
    if (entry->too_long) {
      return absl::AlreadyExistsError(
          "the request of this key is under way, and its answer has become "
          "too long to be told again: wait for its end");
    }
    return entry;
  }
  while (entries_.size() >= options_.max_requests) {
    if (ForgetOldest()) continue;
    return WithRetryAfter(
        absl::ResourceExhaustedError(
            absl::StrCat(entries_.size(),
                         " requests that have keys are under way, and no more "
                         "are kept; try again later, or without a key")),
        absl::Seconds(1));
  }
  const EntryPtr entry = Add(key, requests);
  if (options_.journal != nullptr) {
    entry->journal_id = options_.journal->Begin(
        JournalBegin(front_door_->model().name, key, entry->begun, requests));
  }
  return entry;
}

RequestLedger::EntryPtr RequestLedger::Add(
    const RequestKey& key, const std::vector<GenerateRequest>& requests) {
  auto entry = std::make_shared<Entry>();
  entry->key = key;
  entry->since = absl::Now();
  entry->begun = key.begun.value_or(entry->since);
  for (const GenerateRequest& request : requests) {
    entry->requests.emplace_back(request.n);
  }
  entry->running = requests.size();
  entries_[{key.owner, key.key}] = entry;
  return entry;
}

void RequestLedger::Restore(
    std::vector<JournalEntry> entries,
    const std::function<void(const std::string& line)>& report) {
  int ended = 0;
  int go_on = 0;
  for (const JournalEntry& from : entries) {
    absl::StatusOr<JournaledCall> call = ReadJournaled(*front_door_, from);
    absl::Status status = call.status();
    EntryPtr entry;
    if (status.ok()) {
      const std::lock_guard<std::mutex> lock(mutex_);
      entry = Add(call->key, call->requests);
      entry->journal_id = from.id;
      for (auto& [request, event] : call->told) {
        Note(entry.get(), request, &event, /*write=*/false);
        if (event.done) --entry->running;
      }
      ++(entry->running > 0 ? go_on : ended);
      if (entry->running == 0 && entry->too_long) Forget(entry);
    } else {
      options_.journal->Forget(from.id);
    }
    if (entry != nullptr) status = Submit(entry, std::move(call->requests), {});
    if (!status.ok()) {
      report(absl::StrCat("a request of the journal cannot be gone on with: ",
                          std::string(status.message())));
    }
  }
  wake_.notify_all();
  if (go_on + ended == 0) return;
  report(absl::StrCat("from the journal: ", go_on,
                      " requests that go on, and the answers of ", ended,
                      " that had ended"));
  if (metrics_ != nullptr) metrics_->RequestsRestored(go_on);
}

void RequestLedger::LeaveUnfinished() {
  const std::lock_guard<std::mutex> lock(mutex_);
  leaving_unfinished_ = true;
}

std::shared_ptr<RequestLedger::Listener> RequestLedger::Listen(
    const EntryPtr& entry, OnRunEvent on_event, Listeners* told) {
  auto listener = std::make_shared<Listener>();
  listener->on_event = std::move(on_event);
  listener->entry = entry;
  listener->again = entry->kept;
  if (!listener->again.empty()) {
    listener->telling = true;
    told->push_back(listener);
  }
  if (entry->running > 0) {
    entry->listeners.push_back(listener);
  } else {
    listener->over = true;
  }
  return listener;
}

void RequestLedger::Drop(Entry* entry,
                         const std::shared_ptr<Listener>& listener) {
  listener->over = true;
  listener->again.clear();
  listener->queued.clear();
  auto& all = entry->listeners;
  all.erase(std::remove(all.begin(), all.end(), listener), all.end());
}

absl::Status RequestLedger::Submit(const EntryPtr& entry,
                                   std::vector<GenerateRequest> requests,
                                   const std::shared_ptr<Listener>& caller) {
  for (size_t i = 0; i < requests.size(); ++i) {
    if (entry->requests[i].unended == 0) continue;
    const absl::StatusOr<uint64_t> id = front_door_->Submit(
        std::move(requests[i]), [this, entry, i](TextEvent event) {
          Deliver(entry, i, std::move(event));
        });
    Listeners told;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (id.ok()) {
        entry->ids.push_back(*id);
        // Left or failed before it had an id.
        if (entry->cancelled) front_door_->engine().Cancel(*id);
      } else {
        if (caller != nullptr) Drop(entry.get(), caller);
        Fail(entry, i, id.status(), &told);
      }
    }
    Tell(told);
    FACET_RETURN_IF_ERROR(id.status());
  }
  return absl::OkStatus();
}

void RequestLedger::Deliver(const EntryPtr& entry, size_t request,
                            TextEvent event) {
  Listeners told;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    // An answer that has ended may be drawn again beside others that have not.
    if (entry->cancelled || entry->requests[request].ended[event.index]) return;
    if (!event.status.ok()) {
      Fail(entry, request, event.status, &told);
    } else {
      Note(entry.get(), request, &event, /*write=*/true);
      const bool done = event.done;
      for (const auto& listener : entry->listeners) {
        Queue(listener, request, event, &told);
      }
      if (done) EndOne(entry);
    }
  }
  Tell(told);
}

void RequestLedger::Queue(const std::shared_ptr<Listener>& listener,
                          size_t request, TextEvent event, Listeners* told) {
  listener->queued.emplace_back(request, std::move(event));
  if (listener->telling) return;
  listener->telling = true;
  told->push_back(listener);
}

void RequestLedger::Tell(const Listeners& told) {
  for (const std::shared_ptr<Listener>& listener : told) {
    OnRunEvent last;  // let go outside of the lock
    while (true) {
      std::vector<Kept> again;
      std::deque<std::pair<size_t, TextEvent>> queued;
      {
        const std::lock_guard<std::mutex> lock(mutex_);
        again.swap(listener->again);
        queued.swap(listener->queued);
        if (again.empty() && queued.empty()) {
          listener->telling = false;
          if (listener->over) last = std::move(listener->on_event);
          break;
        }
      }
      for (const Kept& one : again) {
        listener->on_event(one.request, one.Event());
      }
      for (auto& [request, event] : queued) {
        listener->on_event(request, std::move(event));
      }
    }
  }
}

void RequestLedger::Leave(const EntryPtr& entry,
                          const std::shared_ptr<Listener>& listener) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (listener->over) return;
  Drop(entry.get(), listener);
  TextEvent end;
  end.finish = FinishReason::kCancelled;
  end.status = Left();
  end.done = true;
  Queue(listener, 0, std::move(end), &left_);
  entry->since = absl::Now();
  wake_.notify_all();
}

void RequestLedger::Note(Entry* entry, size_t request, TextEvent* event,
                         bool write) {
  Entry::One& one = entry->requests[request];
  const int64_t tokens_before = one.tokens[event->index];
  one.tokens[event->index] += static_cast<int64_t>(event->tokens.size());
  if (event->finish != FinishReason::kNone) {
    one.ended[event->index] = true;
    --one.unended;
  }
  event->done = one.unended == 0;
  if (entry->too_long) return;
  Kept kept(request, *event);
  if (write && options_.journal != nullptr) {
    options_.journal->Add(entry->journal_id,
                          JournalEvent(request, tokens_before, kept.response));
  }
  Keep(entry, std::move(kept));
}

void RequestLedger::Keep(Entry* entry, Kept kept) {
  bytes_ += kept.bytes();
  entry->kept.push_back(std::move(kept));
  while (bytes_ > options_.max_bytes) {
    if (ForgetOldest()) continue;
    entry->too_long = true;
    DropKept(entry);
    if (options_.journal != nullptr) {
      options_.journal->Forget(entry->journal_id);
    }
    return;
  }
}

void RequestLedger::EndOne(const EntryPtr& entry) {
  if (--entry->running > 0) return;
  for (const auto& listener : entry->listeners) listener->over = true;
  entry->listeners.clear();
  entry->pass.reset();
  entry->since = absl::Now();
  if (entry->too_long) Forget(entry);
  wake_.notify_all();
}

void RequestLedger::Fail(const EntryPtr& entry, size_t request,
                         const absl::Status& status, Listeners* told) {
  TextEvent end;
  end.finish = FinishReason::kError;
  end.status = status;
  end.done = true;
  for (const auto& listener : entry->listeners) {
    Queue(listener, request, end, told);
    listener->over = true;
  }
  entry->listeners.clear();
  CancelRun(entry.get());
  Forget(entry, !(leaving_unfinished_ && absl::IsUnavailable(status)));
}

void RequestLedger::CancelRun(Entry* entry) {
  entry->cancelled = true;
  entry->pass.reset();
  for (const uint64_t id : entry->ids) front_door_->engine().Cancel(id);
}

void RequestLedger::DropKept(Entry* entry) {
  for (const Kept& one : entry->kept) bytes_ -= one.bytes();
  entry->kept = {};
}

void RequestLedger::Forget(const EntryPtr& entry, bool in_journal) {
  DropKept(entry.get());
  if (in_journal && options_.journal != nullptr) {
    options_.journal->Forget(entry->journal_id);
  }
  const auto found = entries_.find({entry->key.owner, entry->key.key});
  if (found != entries_.end() && found->second == entry) entries_.erase(found);
}

bool RequestLedger::ForgetOldest() {
  EntryPtr oldest;
  for (const auto& [name, entry] : entries_) {
    if (entry->running > 0) continue;
    if (oldest == nullptr || entry->since < oldest->since) oldest = entry;
  }
  if (oldest == nullptr) return false;
  Forget(oldest);
  return true;
}

absl::Time RequestLedger::Expire(absl::Time now) {
  absl::Time next = absl::InfiniteFuture();
  std::vector<EntryPtr> due;
  for (const auto& [name, entry] : entries_) {
    if (!entry->listeners.empty()) continue;
    const absl::Time end =
        entry->since +
        (entry->running > 0 ? options_.resume_time : options_.keep_time);
    if (end <= now) {
      due.push_back(entry);
    } else {
      next = std::min(next, end);
    }
  }
  for (const EntryPtr& entry : due) {
    if (entry->running > 0) CancelRun(entry.get());
    Forget(entry);
  }
  return next;
}

void RequestLedger::KeepTime() {
  std::unique_lock<std::mutex> lock(mutex_);
  while (!stopping_) {
    const absl::Time next = Expire(absl::Now());
    if (left_.empty()) {
      // A year is for ever, and within what the clock can add.
      const absl::Duration wait =
          std::min(next - absl::Now(), absl::Hours(24 * 365));
      wake_.wait_for(lock, absl::ToChronoNanoseconds(wait));
      continue;
    }
    const Listeners left = std::exchange(left_, {});
    lock.unlock();
    Tell(left);
    lock.lock();
  }
}

absl::StatusOr<RequestRun> StartRun(const FrontDoor* front_door,
                                    RequestLedger* ledger,
                                    const RequestKey* key,
                                    std::vector<GenerateRequest> requests,
                                    std::shared_ptr<const void> pass,
                                    OnRunEvent on_event) {
  if (ledger != nullptr && key != nullptr) {
    return ledger->Start(*key, std::move(requests), std::move(pass),
                         std::move(on_event));
  }
  std::vector<uint64_t> ids;
  const auto cancel =
      [engine = &front_door->engine()](const std::vector<uint64_t>& some) {
        for (const uint64_t id : some) engine->Cancel(id);
      };
  for (size_t i = 0; i < requests.size(); ++i) {
    const absl::StatusOr<uint64_t> id = front_door->Submit(
        std::move(requests[i]),
        [on_event, i](TextEvent event) { on_event(i, std::move(event)); });
    if (!id.ok()) {
      cancel(ids);
      return id.status();
    }
    ids.push_back(*id);
  }
  RequestRun run;
  run.leave = [cancel, ids = std::move(ids)] { cancel(ids); };
  return run;
}

}  // namespace facet
