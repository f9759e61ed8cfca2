// A stream without a worker: records what the coordinator does with it.
#ifndef FACET_RPC_CONTROL_TESTING_FAKE_LINK_H_
#define FACET_RPC_CONTROL_TESTING_FAKE_LINK_H_

#include <mutex>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "rpc/control/worker_link.h"

namespace facet {

class FakeLink : public WorkerLink {
 public:
  void Send(const CoordinatorMessage& message) override {
    std::lock_guard<std::mutex> lock(mutex_);
    sent_.push_back(message);
  }
  void Close(const absl::Status& status) override {
    std::lock_guard<std::mutex> lock(mutex_);
    closed_ = status;
  }
  void Cancel() override {
    std::lock_guard<std::mutex> lock(mutex_);
    cancelled_ = true;
  }

  template <typename Message>
  int Count() const {
    std::lock_guard<std::mutex> lock(mutex_);
    int count = 0;
    for (const CoordinatorMessage& message : sent_) {
      count += std::holds_alternative<Message>(message) ? 1 : 0;
    }
    return count;
  }
  absl::Status closed() const {
    std::lock_guard<std::mutex> lock(mutex_);
    return closed_;
  }
  bool cancelled() const {
    std::lock_guard<std::mutex> lock(mutex_);
    return cancelled_;
  }

 private:
  mutable std::mutex mutex_;
  std::vector<CoordinatorMessage> sent_;
  absl::Status closed_;
  bool cancelled_ = false;
};

}  // namespace facet

#endif  // FACET_RPC_CONTROL_TESTING_FAKE_LINK_H_
