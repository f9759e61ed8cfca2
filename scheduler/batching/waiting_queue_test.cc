#include "scheduler/batching/waiting_queue.h"

#include <memory>
#include <random>
#include <vector>

#include "gtest/gtest.h"

namespace facet {
namespace {

TEST(WaitingQueueTest, AgreesWithANaiveModelOverRandomOperations) {
  struct Waiting {
    std::unique_ptr<Sequence> sequence;
    bool held = false;
  };
  std::mt19937 random(11);
  WaitingQueue queue;
  std::vector<Waiting> naive;
  uint64_t next_id = 100;
  for (int operation = 0; operation < 10000; ++operation) {
    const uint64_t leader = 1 + random() % 3;
    const size_t which = naive.empty() ? 0 : random() % naive.size();
    switch (random() % 4) {
      case 0: {
        Waiting& waiting = naive.emplace_back();
        waiting.sequence = std::make_unique<Sequence>();
        waiting.sequence->id = {++next_id};
        waiting.sequence->order.rank = random() % 50;
        waiting.sequence->order.arrival = operation;
        waiting.held = random() % 2 == 0;
        if (waiting.held) {
          waiting.sequence->request.sibling = SequenceId{leader};
          queue.Hold(waiting.sequence.get());
        } else {
          queue.Add(waiting.sequence.get());
        }
        break;
      }
      case 1:
        if (naive.empty()) break;
        queue.Remove(naive[which].sequence.get());
        naive.erase(naive.begin() + which);
        break;
      case 2:
        if (random() % 4 != 0) break;
        queue.Free(SequenceId{leader});
        for (Waiting& waiting : naive) {
          if (waiting.sequence->request.sibling == SequenceId{leader}) {
            waiting.held = false;
          }
        }
        break;
    }
    const Sequence* first = nullptr;
    for (const Waiting& waiting : naive) {
      if (waiting.held) continue;
      if (first == nullptr || waiting.sequence->order < first->order) {
        first = waiting.sequence.get();
      }
    }
    ASSERT_EQ(queue.First(), first) << "seed 11, operation " << operation;
    ASSERT_EQ(queue.size(), static_cast<int>(naive.size()));
  }
}

}  // namespace
}  // namespace facet
