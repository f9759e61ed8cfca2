// Sequences that do not run: those that may, in order, and samples of a prompt
// that are held until their sibling has computed it.
#ifndef FACET_SCHEDULER_BATCHING_WAITING_QUEUE_H_
#define FACET_SCHEDULER_BATCHING_WAITING_QUEUE_H_

#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/flat_hash_map.h"
#include "scheduler/batching/sequence.h"

namespace facet {

// Owns nothing; a sequence stays in one place while it is here.
class WaitingQueue {
 public:
  // Held ones too.
  int size() const { return static_cast<int>(in_order_.size()) + held_; }

  void Add(Sequence* sequence) { in_order_[sequence->order] = sequence; }

  // Waits, out of order, for Free(its sibling).
  void Hold(Sequence* sequence);

  // What was held for `leader` now waits in its order.
  void Free(SequenceId leader);

  // The first that may run; null if there is none.
  Sequence* First() const {
    return in_order_.empty() ? nullptr : in_order_.begin()->second;
  }

  // REQUIRES: `sequence` is here.
  void Remove(Sequence* sequence);

 private:
  absl::btree_map<SequenceOrder, Sequence*> in_order_;
  absl::flat_hash_map<SequenceId, std::vector<Sequence*>> by_leader_;
  int held_ = 0;
};

}  // namespace facet

#endif  // FACET_SCHEDULER_BATCHING_WAITING_QUEUE_H_
