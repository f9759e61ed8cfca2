// How many pages of each pool a memory budget buys. Pure arithmetic: where the
// budget comes from and who allocates it is the caller's business.
#ifndef FACET_SCHEDULER_PAGES_POOL_SIZES_H_
#define FACET_SCHEDULER_PAGES_POOL_SIZES_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/plan/step_plan.h"

namespace facet {

// Bytes of one page on one rank; 0 where the rank has no layer of the kind.
struct PageBytes {
  int64_t sliding = 0;
  int64_t global = 0;
};

struct PoolBudget {
  int64_t kv_bytes = 0;            // of every rank
  std::vector<PageBytes> by_rank;  // at least one
  int page_tokens = 32;
  int sliding_window = 0;     // keys a query sees, its own included
  int64_t max_positions = 0;  // the model's context
  int max_sequences = 64;     // running at once
  int chunk_tokens = 512;     // most tokens of one step
};

// The same pools for all ranks, within the budget of each. Sliding pages take
// what max_sequences sequences can hold at most, but no more than half of the
// budget (or one sequence's window) where global pages have use for the rest.
// Neither pool gets more than max_sequences sequences of max_positions can
// fill.
//
// Errors:
//   INVALID_ARGUMENT    a size is out of range; the message names it
//   RESOURCE_EXHAUSTED  not even one sequence of chunk_tokens fits; the message
//                       names --kv-memory and the least value that works
absl::StatusOr<KvPoolSizes> ChoosePoolSizes(const PoolBudget& budget);

}  // namespace facet

#endif  // FACET_SCHEDULER_PAGES_POOL_SIZES_H_
