#include "scheduler/batching/waiting_queue.h"

#include <algorithm>
#include <utility>

#include "kernels/base/check.h"

namespace facet {

void WaitingQueue::Hold(Sequence* sequence) {
  FACET_CHECK(sequence->request.sibling.has_value());
  by_leader_[*sequence->request.sibling].push_back(sequence);
  ++held_;
}

void WaitingQueue::Free(SequenceId leader) {
  const auto found = by_leader_.find(leader);
  if (found == by_leader_.end()) return;
  const std::vector<Sequence*> freed = std::move(found->second);
  by_leader_.erase(found);
  held_ -= static_cast<int>(freed.size());
  for (Sequence* sequence : freed) Add(sequence);
}

void WaitingQueue::Remove(Sequence* sequence) {
  if (in_order_.erase(sequence->order) > 0) return;
  FACET_CHECK(sequence->request.sibling.has_value());
  const auto group = by_leader_.find(*sequence->request.sibling);
  FACET_CHECK(group != by_leader_.end());
  std::vector<Sequence*>& held = group->second;
  const auto found = std::find(held.begin(), held.end(), sequence);
  FACET_CHECK(found != held.end());
  held.erase(found);
  if (held.empty()) by_leader_.erase(group);
  --held_;
}

}  // namespace facet
