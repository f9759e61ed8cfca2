#include "runtime/executor/merge_top.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "kernels/base/status_macros.h"

namespace facet {

absl::StatusOr<std::vector<std::vector<TokenLogit>>> MergeTop(
    absl::Span<const TopWish> rows, const VocabGroup& group, ThreadPool& pool) {
  std::vector<std::vector<TokenLogit>> best(rows.size());
  const auto first = static_cast<int32_t>(group.own_vocab().begin);
  pool.ParallelDynamic(static_cast<int64_t>(rows.size()), [&](int, int64_t i) {
    if (rows[i].own_top == nullptr) {
      best[i] = TopLogits(rows[i].logits, first, rows[i].count);
      return;
    }
    best[i] = *rows[i].own_top;
    if (best[i].size() > static_cast<size_t>(rows[i].count)) {
      best[i].resize(rows[i].count);
    }
  });
  if (group.size() == 1) return best;

  // Lists of all members are padded to one length.
  const int64_t widest = group.widest();
  std::vector<TokenLogit> mine;
  for (size_t i = 0; i < rows.size(); ++i) {
    best[i].resize(std::min<int64_t>(rows[i].count, widest), TokenLogit{-1, 0});
    mine.insert(mine.end(), best[i].begin(), best[i].end());
  }
  FACET_ASSIGN_OR_RETURN(const std::vector<TokenLogit> all, group.Gather(mine));
  size_t at = 0;
  for (size_t i = 0; i < rows.size(); ++i) {
    const size_t length = best[i].size();
    std::vector<std::vector<TokenLogit>> lists(group.size());
    for (int m = 0; m < group.size(); ++m) {
      const auto begin = all.begin() + m * mine.size() + at;
      std::copy_if(begin, begin + length, std::back_inserter(lists[m]),
                   [](const TokenLogit& c) { return c.token >= 0; });
    }
    best[i] = MergeTopLogits(lists, rows[i].count);
    at += length;
  }
  return best;
}

}  // namespace facet
