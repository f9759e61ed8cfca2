#include "runtime/executor/row_scores.h"

#include <cmath>
#include <utility>

#include "kernels/base/status_macros.h"
#include "kernels/sampling/sampling.h"

namespace facet {

absl::StatusOr<std::vector<RowScores>> ScoreRows(absl::Span<const TopWish> rows,
                                                 const VocabGroup& group,
                                                 ThreadPool& pool) {
  const int slices = group.own_slices();
  std::vector<ExpSum> mine(rows.size() * slices);
  pool.ParallelDynamic(static_cast<int64_t>(mine.size()), [&](int, int64_t i) {
    const IndexRange slice = group.own_slice(static_cast<int>(i % slices));
    mine[i] = SumExp(rows[i / slices].logits.subspan(
        slice.begin - group.own_vocab().begin, slice.size()));
  });
  FACET_ASSIGN_OR_RETURN(const std::vector<ExpSum> all, group.Gather(mine));
  FACET_ASSIGN_OR_RETURN(const auto top, MergeTop(rows, group, pool));
  std::vector<RowScores> scores(rows.size());
  for (size_t i = 0; i < rows.size(); ++i) {
    std::vector<ExpSum> sums;
    for (int m = 0; m < group.size(); ++m) {
      const auto begin = all.begin() + m * mine.size() + i * slices;
      sums.insert(sums.end(), begin, begin + slices);
    }
    scores[i].log_sum = CombineExpSums(sums);
    if (!std::isfinite(scores[i].log_sum)) {
      return absl::DataLossError(
          "step: logits add up to no finite number, so the weights hold NaNs "
          "or infinities; --check-weights names the tensor");
    }
    for (const TokenLogit& best : top[i]) {
      scores[i].top.push_back({best.token, best.logit - scores[i].log_sum});
    }
  }
  return scores;
}

absl::StatusOr<std::vector<float>> ShareLogits(
    absl::Span<const OwnLogit> tokens, const VocabGroup& group) {
  std::vector<float> mine;
  for (const OwnLogit& token : tokens) mine.push_back(token.logit);
  FACET_ASSIGN_OR_RETURN(const std::vector<float> all, group.Gather(mine));
  std::vector<float> logits;
  for (size_t i = 0; i < tokens.size(); ++i) {
    logits.push_back(all[group.OwnerOf(tokens[i].token) * mine.size() + i]);
  }
  return logits;
}

}  // namespace facet
