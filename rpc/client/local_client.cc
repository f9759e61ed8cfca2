#include "rpc/client/local_client.h"

#include <condition_variable>
#include <deque>
#include <mutex>
#include <utility>

namespace facet {
namespace {

// From the engine's thread to the caller's, so that a slow caller holds up
// nobody. Bounded by what the requests may produce.
struct EventQueue {
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<std::pair<size_t, TextEvent>> events;

  void Push(size_t index, TextEvent event) {
    const std::lock_guard<std::mutex> lock(mutex);
    events.emplace_back(index, std::move(event));
    changed.notify_one();
  }
  std::pair<size_t, TextEvent> Pop() {
    std::unique_lock<std::mutex> lock(mutex);
    changed.wait(lock, [this] { return !events.empty(); });
    auto result = std::move(events.front());
    events.pop_front();
    return result;
  }
};

class LocalClient : public Client {
 public:
  explicit LocalClient(const FrontDoor* front_door) : front_door_(front_door) {}

  absl::Status Generate(const std::vector<TextRequest>& requests,
                        const OnEvent& on_event) override {
    EventQueue queue;
    std::vector<uint64_t> ids;
    absl::Status first_error;
    for (size_t i = 0; i < requests.size(); ++i) {
      const absl::StatusOr<uint64_t> id = front_door_->Generate(
          requests[i],
          [&queue, i](TextEvent event) { queue.Push(i, std::move(event)); });
      if (!id.ok()) {
        first_error = id.status();
        break;
      }
      ids.push_back(*id);
    }
    const auto cancel_all = [&] {
      for (const uint64_t id : ids) front_door_->engine().Cancel(id);
    };
    if (!first_error.ok()) cancel_all();
    for (size_t running = ids.size(); running > 0;) {
      const auto [index, event] = queue.Pop();
      if (event.done) --running;
      if (event.finish == FinishReason::kError && first_error.ok()) {
        first_error = event.status;
        cancel_all();
      }
      if (first_error.ok() && !on_event(index, event)) {
        front_door_->engine().Cancel(ids[index]);
      }
    }
    return first_error;
  }

  absl::StatusOr<ModelInfo> Info() override { return front_door_->Info(); }

 private:
  const FrontDoor* const front_door_;
};

}  // namespace

std::unique_ptr<Client> MakeLocalClient(const FrontDoor* front_door) {
  return std::make_unique<LocalClient>(front_door);
}

}  // namespace facet
