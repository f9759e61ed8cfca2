#include "scheduler/pages/pool_sizes.h"

#include <algorithm>
#include <limits>

#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "scheduler/pages/page_geometry.h"

namespace facet {
namespace {

constexpr int64_t kMostPages = std::numeric_limits<int32_t>::max();

absl::Status CheckAtLeastOne(int64_t value, const char* name) {
  if (value >= 1) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(name, ": ", value, " is out of range, at least 1"));
}

absl::Status Check(const PoolBudget& budget) {
  FACET_RETURN_IF_ERROR(CheckAtLeastOne(budget.page_tokens, "page_tokens"));
  FACET_RETURN_IF_ERROR(
      CheckAtLeastOne(budget.sliding_window, "sliding_window"));
  FACET_RETURN_IF_ERROR(
      CheckAtLeastOne(budget.max_positions, "max_position_embeddings"));
  FACET_RETURN_IF_ERROR(CheckAtLeastOne(budget.max_sequences, "max_sequences"));
  return CheckAtLeastOne(budget.chunk_tokens, "chunk_tokens");
}

// Pages of `bytes` each that `budget` buys; no bytes are no limit.
int64_t Affordable(int64_t budget, int64_t bytes) {
  if (bytes == 0) return kMostPages;
  return std::min(budget / bytes, kMostPages);
}

}  // namespace

absl::StatusOr<KvPoolSizes> ChoosePoolSizes(const PoolBudget& budget) {
  FACET_RETURN_IF_ERROR(Check(budget));
  const PageGeometry geometry = {budget.page_tokens, budget.sliding_window};
  const int64_t chunk =
      std::min<int64_t>(budget.chunk_tokens, budget.max_positions);
  const PageDemand least = geometry.MostPages(chunk, chunk);
  const PageDemand one = geometry.MostPages(budget.max_positions, chunk);
  const int64_t most_sliding =
      std::min(one.sliding * budget.max_sequences, kMostPages);
  const int64_t most_global =
      std::min(one.global * budget.max_sequences, kMostPages);

  int64_t least_bytes = 0;
  int64_t half_sliding = kMostPages;
  int64_t equal = kMostPages;  // as many pages of both kinds
  for (const PageBytes& rank : budget.by_rank) {
    least_bytes = std::max(
        least_bytes, least.sliding * rank.sliding + least.global * rank.global);
    half_sliding =
        std::min(half_sliding, Affordable(budget.kv_bytes / 2, rank.sliding));
    equal = std::min(equal,
                     Affordable(budget.kv_bytes, rank.sliding + rank.global));
  }
  if (budget.kv_bytes < least_bytes) {
    return absl::ResourceExhaustedError(
        absl::StrCat("--kv-memory: ", budget.kv_bytes,
                     " bytes per worker do not hold one sequence of ", chunk,
                     " tokens; give at least ", least_bytes));
  }

  const auto global_beside = [&](int64_t sliding) {
    int64_t pages = most_global;
    for (const PageBytes& rank : budget.by_rank) {
      pages = std::min(
          pages,
          Affordable(budget.kv_bytes - sliding * rank.sliding, rank.global));
    }
    return pages;
  };
  const auto sliding_beside = [&](int64_t global) {
    int64_t pages = most_sliding;
    for (const PageBytes& rank : budget.by_rank) {
      pages = std::min(pages, Affordable(budget.kv_bytes - global * rank.global,
                                         rank.sliding));
    }
    return pages;
  };

  // Up to one sequence's window both pools grow alike: less would make the
  // longest sequence shorter than the budget allows.
  int64_t sliding = std::min(
      most_sliding, std::max(half_sliding, std::min(one.sliding, equal)));
  sliding = std::max(sliding, least.sliding);
  // A tight budget leaves one chunk its global pages before all else.
  sliding = std::min(sliding, sliding_beside(least.global));
  const int64_t global = global_beside(sliding);
  sliding = sliding_beside(global);

  KvPoolSizes pools;
  pools.page_tokens = budget.page_tokens;
  pools.sliding_pages = static_cast<int32_t>(sliding);
  pools.global_pages = static_cast<int32_t>(global);
  return pools;
}

}  // namespace facet
