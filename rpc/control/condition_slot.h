// How a cluster stands, for who asks while it is still being formed and nobody
// has it in hand.
#ifndef FACET_RPC_CONTROL_CONDITION_SLOT_H_
#define FACET_RPC_CONTROL_CONDITION_SLOT_H_

#include <functional>
#include <mutex>
#include <optional>
#include <utility>

#include "rpc/control/diagnosis.h"

namespace facet {

// From any thread.
class ConditionSlot {
 public:
  // Nothing while nobody has put anything in.
  std::optional<ClusterCondition> Ask() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (tell_ == nullptr) return std::nullopt;
    return tell_();
  }
  // Is asked until Clear() returns.
  void Put(std::function<ClusterCondition()> tell) {
    const std::lock_guard<std::mutex> lock(mutex_);
    tell_ = std::move(tell);
  }
  void Clear() { Put(nullptr); }

 private:
  mutable std::mutex mutex_;
  std::function<ClusterCondition()> tell_;
};

}  // namespace facet

#endif  // FACET_RPC_CONTROL_CONDITION_SLOT_H_
