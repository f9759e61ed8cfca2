// Runs a request that has a key once, however often it is asked for.
//
// While it runs, and for a time after its end, whoever asks for the same under
// the same key gets its answer from the first token on: what is there at once,
// the rest as it comes. It goes on for a while when nobody listens, so that who
// lost a connection finds it again. A request that ends with an error is
// forgotten: asked for again, it runs again.
#ifndef FACET_RPC_COORDINATOR_REQUEST_LEDGER_H_
#define FACET_RPC_COORDINATOR_REQUEST_LEDGER_H_

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "rpc/convert/text_messages.h"
#include "rpc/coordinator/front_door.h"
#include "rpc/coordinator/journal.h"
#include "rpc/coordinator/request_key.h"
#include "rpc/metrics/serving_metrics.h"

namespace facet {

struct RequestLedgerOptions {
  // How long a request goes on that nobody listens to.
  absl::Duration resume_time = absl::Seconds(30);
  // How long the answer of one that ended is kept.
  absl::Duration keep_time = absl::Minutes(10);
  // Requests and bytes of answers it keeps. Beyond it, the answers that ended
  // first are forgotten; then one that runs cannot be asked for again, and a
  // request beyond max_requests running ones is refused.
  size_t max_requests = 1024;
  int64_t max_bytes = int64_t{64} << 20;
  // Where requests are written down, so that another process can go on with
  // them; null: nowhere. Outlives the ledger.
  Journal* journal = nullptr;
};

// An event of request `request` of a call. One at a time; must not block.
using OnRunEvent = std::function<void(size_t request, TextEvent event)>;

// The requests of a call as its caller sees them.
struct RequestRun {
  // The caller wants no more: what runs for it alone is cancelled, what has a
  // key goes on for resume_time. The last event is then one with kCancelled and
  // `done`, unless the last has come. From any thread, under any lock but those
  // of the ledger and the engine, any number of times; must not outlive either.
  std::function<void()> leave;
  // The answer is one that was begun for an earlier call.
  bool again = false;
};

// Safe from several threads.
class RequestLedger {
 public:
  // `front_door` and `metrics`, which may be null, outlive the ledger. What the
  // ledger submitted has ended before it is destroyed: drain the engine.
  RequestLedger(const FrontDoor* front_door,
                const RequestLedgerOptions& options,
                ServingMetrics* metrics = nullptr);
  ~RequestLedger();
  RequestLedger(const RequestLedger&) = delete;
  RequestLedger& operator=(const RequestLedger&) = delete;

  // Runs `requests` under `key`, or brings the answer of those that do or did.
  // `pass` is kept while they run. Events may come before this returns.
  //
  // Errors (no request runs that did not before):
  //   ALREADY_EXISTS      the key is another request's, or its answer has
  //                       become too long to be kept and is still under way
  //   RESOURCE_EXHAUSTED  max_requests with a key are running
  //   those of FrontDoor::Submit()
  absl::StatusOr<RequestRun> Start(const RequestKey& key,
                                   std::vector<GenerateRequest> requests,
                                   std::shared_ptr<const void> pass,
                                   OnRunEvent on_event);

  // When the request under `key` was first asked for; now, if it was not.
  absl::Time Begun(const RequestKey& key) const;

  // Takes up what an earlier process has left, before the first Start(): what
  // had ended is kept, what had not goes on with the token that is next, for
  // resume_time unless somebody asks for it. `report` hears what became of it.
  void Restore(std::vector<JournalEntry> entries,
               const std::function<void(const std::string& line)>& report);

  // From now on, what ends unfinished with UNAVAILABLE stays in the journal for
  // the next process: this one is about to end.
  void LeaveUnfinished();

 private:
  struct Kept;
  struct Listener;
  struct Entry;
  using EntryPtr = std::shared_ptr<Entry>;
  using Listeners = std::vector<std::shared_ptr<Listener>>;
  using Name = std::pair<std::string, std::string>;  // owner, key

  // With mutex_ held, unless it says otherwise. What listeners are told waits
  // in `told` until Tell(), without it.
  absl::StatusOr<EntryPtr> FindOrAdd(
      const RequestKey& key, const std::vector<GenerateRequest>& requests,
      bool* found);
  EntryPtr Add(const RequestKey& key,
               const std::vector<GenerateRequest>& requests);
  std::shared_ptr<Listener> Listen(const EntryPtr& entry, OnRunEvent on_event,
                                   Listeners* told);
  // It is told nothing more.
  static void Drop(Entry* entry, const std::shared_ptr<Listener>& listener);
  static void Queue(const std::shared_ptr<Listener>& listener, size_t request,
                    TextEvent event, Listeners* told);
  // Marks what `event` says of its answer, sets its `done`, and keeps it.
  void Note(Entry* entry, size_t request, TextEvent* event, bool write);
  void Keep(Entry* entry, Kept kept);
  void Fail(const EntryPtr& entry, size_t request, const absl::Status& status,
            Listeners* told);
  void EndOne(const EntryPtr& entry);
  void CancelRun(Entry* entry);
  void Forget(const EntryPtr& entry, bool in_journal = true);
  void DropKept(Entry* entry);
  // Forgets the answer that ended first; false: there is none.
  bool ForgetOldest();
  // What time has made due; when the next thing is.
  absl::Time Expire(absl::Time now);

  // Without mutex_. Submits what has not ended. What goes wrong is not told to
  // `caller`, which may be null.
  absl::Status Submit(const EntryPtr& entry,
                      std::vector<GenerateRequest> requests,
                      const std::shared_ptr<Listener>& caller);
  void Deliver(const EntryPtr& entry, size_t request, TextEvent event);
  void Leave(const EntryPtr& entry, const std::shared_ptr<Listener>& listener);
  void Tell(const Listeners& told);
  void KeepTime();

  const FrontDoor* const front_door_;
  const RequestLedgerOptions options_;
  ServingMetrics* const metrics_;

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  absl::btree_map<Name, EntryPtr> entries_;
  int64_t bytes_ = 0;  // of kept events
  Listeners left_;     // to be told by the thread
  bool stopping_ = false;
  bool leaving_unfinished_ = false;
  std::thread thread_;  // last: uses all of the above
};

// Runs `requests` under `key` where there are a ledger and a key, otherwise for
// this caller alone. `front_door` outlives the run. Errors: those of the ledger
// and of FrontDoor::Submit(); events that still come then are of no use.
absl::StatusOr<RequestRun> StartRun(const FrontDoor* front_door,
                                    RequestLedger* ledger,
                                    const RequestKey* key,
                                    std::vector<GenerateRequest> requests,
                                    std::shared_ptr<const void> pass,
                                    OnRunEvent on_event);

}  // namespace facet

#endif  // FACET_RPC_COORDINATOR_REQUEST_LEDGER_H_
