#include "runtime/executor/draw_tokens.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include "kernels/base/status_macros.h"
#include "kernels/sampling/draw_row.h"
#include "kernels/sampling/mass.h"
#include "runtime/executor/merge_top.h"

namespace facet {
namespace {

// The best tokens of a row from which all may be drawn. Most draws end among
// them: peaked distributions, low temperatures, a high min_p. Listing them
// takes a third of the time that weighing the vocabulary does.
constexpr int kHead = 256;

// A row that needs more than its candidates.
struct WholeRow {
  size_t index = 0;
  Softmax softmax;
  std::vector<RowMass> mass;            // by member
  uint64_t total = 0;                   // of all members
  std::optional<NucleusSearch> search;  // where top_p cuts behind the head
};

// Which part of a row is kept, by member.
struct KeptPart {
  uint64_t mass = 0;
  RowCut cut;
};

std::vector<KeptPart> KeptParts(const WholeRow& row,
                                const DrawOptions& options) {
  const size_t members = row.mass.size();
  std::vector<KeptPart> parts(members);
  const float weight = row.search.has_value()
                           ? WeightOf(row.search->threshold(), row.softmax)
                           : 0;
  if (!row.search.has_value() || weight < options.min_p) {
    // min_p alone decides.
    for (size_t m = 0; m < members; ++m) {
      parts[m].mass = row.mass[m].heavy;
      parts[m].cut.min_weight = options.min_p;
    }
    return parts;
  }
  uint64_t left = row.search->ties_kept();
  for (size_t m = 0; m < members; ++m) {
    const uint64_t ties = std::min(left, row.search->ties()[m]);
    left -= ties;
    parts[m].mass = row.search->mass_above()[m] + ties * ToMass(weight);
    parts[m].cut.threshold = row.search->threshold();
    parts[m].cut.ties = ties;
  }
  return parts;
}

class Drawer {
 public:
  Drawer(absl::Span<const DrawWish> rows, const VocabGroup& group,
         ThreadPool& pool)
      : rows_(rows), group_(group), pool_(pool), tokens_(rows.size()) {}

  absl::StatusOr<std::vector<int32_t>> Run() {
    FACET_RETURN_IF_ERROR(FindHeads());
    DrawFromCandidates();
    if (!whole_.empty()) {
      FACET_RETURN_IF_ERROR(Weigh());
      DrawFromHeads();
    }
    if (!whole_.empty()) {
      FACET_RETURN_IF_ERROR(SearchNuclei());
      FACET_RETURN_IF_ERROR(Walk());
    }
    return std::move(tokens_);
  }

 private:
  const DrawOptions& options(const WholeRow& row) const {
    return rows_[row.index].options;
  }
  void ForEachWhole(absl::FunctionRef<void(int64_t)> body) {
    pool_.ParallelDynamic(static_cast<int64_t>(whole_.size()),
                          [&](int, int64_t i) { body(i); });
  }

  absl::Status FindHeads() {
    std::vector<TopWish> wishes;
    for (const DrawWish& row : rows_) {
      const int candidates = CandidatesOf(row.options);
      wishes.push_back({row.logits, candidates == 0 ? kHead : candidates,
                        candidates == 0 ? nullptr : row.own_top});
    }
    FACET_ASSIGN_OR_RETURN(heads_, MergeTop(wishes, group_, pool_));
    for (const auto& head : heads_) {
      if (!head.empty()) continue;
      return absl::DataLossError(
          "step: every logit is a NaN, so the weights hold NaNs or infinities; "
          "--check-weights names the tensor");
    }
    return absl::OkStatus();
  }

  void DrawFromCandidates() {
    for (size_t i = 0; i < rows_.size(); ++i) {
      const float best = heads_[i][0].logit;
      if (CandidatesOf(rows_[i].options) > 0 || !std::isfinite(best)) {
        tokens_[i] = Draw(heads_[i], rows_[i].options);
        continue;
      }
      WholeRow row;
      row.index = i;
      row.softmax = {best, rows_[i].options.temperature};
      whole_.push_back(std::move(row));
    }
  }

  absl::Status Weigh() {
    std::vector<RowMass> mine(whole_.size());
    ForEachWhole([&](int64_t i) {
      const WholeRow& row = whole_[i];
      mine[i] =
          MassOf(rows_[row.index].logits, row.softmax, options(row).min_p);
    });
    FACET_ASSIGN_OR_RETURN(const std::vector<RowMass> all, group_.Gather(mine));
    for (size_t i = 0; i < whole_.size(); ++i) {
      for (int m = 0; m < group_.size(); ++m) {
        whole_[i].mass.push_back(all[m * mine.size() + i]);
        whole_[i].total += whole_[i].mass.back().all;
      }
    }
    return absl::OkStatus();
  }

  void DrawFromHeads() {
    std::vector<WholeRow> left;
    for (WholeRow& row : whole_) {
      const std::optional<int32_t> token =
          DrawFromHead(heads_[row.index], row.total, options(row));
      if (token.has_value()) {
        tokens_[row.index] = *token;
      } else {
        left.push_back(std::move(row));
      }
    }
    whole_ = std::move(left);
  }

  absl::Status SearchNuclei() {
    constexpr int64_t kValues = NucleusSearch::kDigitValues;
    std::vector<WholeRow*> searched;
    for (WholeRow& row : whole_) {
      if (options(row).top_p >= 1) continue;
      // Above 0: the head does not reach it.
      row.search.emplace(row.softmax, ShareOf(row.total, options(row).top_p),
                         row.total, group_.vocab_size());
      searched.push_back(&row);
    }
    for (int digit = 0; digit < NucleusSearch::kDigits; ++digit) {
      std::vector<uint64_t> mine(searched.size() * kValues);
      pool_.ParallelDynamic(
          static_cast<int64_t>(searched.size()), [&](int, int64_t i) {
            searched[i]->search->AddMassByDigit(
                rows_[searched[i]->index].logits,
                absl::MakeSpan(mine).subspan(i * kValues, kValues));
          });
      FACET_ASSIGN_OR_RETURN(const std::vector<uint64_t> all,
                             group_.Gather(mine));
      for (size_t i = 0; i < searched.size(); ++i) {
        std::vector<uint64_t> by_member;
        for (int m = 0; m < group_.size(); ++m) {
          const auto begin = all.begin() + m * mine.size() + i * kValues;
          by_member.insert(by_member.end(), begin, begin + kValues);
        }
        searched[i]->search->Narrow(by_member);
      }
    }
    return absl::OkStatus();
  }

  // The member in whose run the random point falls walks to it.
  absl::Status Walk() {
    std::vector<int32_t> mine(whole_.size(), -1);
    std::vector<int> owners(whole_.size());
    ForEachWhole([&](int64_t i) {
      const WholeRow& row = whole_[i];
      const std::vector<KeptPart> parts = KeptParts(row, options(row));
      uint64_t kept = 0;
      for (const KeptPart& part : parts) kept += part.mass;
      uint64_t point =
          PointIn(kept, RandomBitsAt(options(row).seed, options(row).position));
      int owner = 0;
      for (; point >= parts[owner].mass; ++owner) point -= parts[owner].mass;
      owners[i] = owner;
      if (owner != group_.own()) return;
      mine[i] = static_cast<int32_t>(group_.own_vocab().begin +
                                     WalkTo(point, rows_[row.index].logits,
                                            row.softmax, parts[owner].cut));
    });
    FACET_ASSIGN_OR_RETURN(const std::vector<int32_t> all, group_.Gather(mine));
    for (size_t i = 0; i < whole_.size(); ++i) {
      tokens_[whole_[i].index] = all[owners[i] * mine.size() + i];
    }
    return absl::OkStatus();
  }

  const absl::Span<const DrawWish> rows_;
  const VocabGroup& group_;
  ThreadPool& pool_;
  std::vector<std::vector<TokenLogit>> heads_;
  std::vector<WholeRow> whole_;
  std::vector<int32_t> tokens_;
};

}  // namespace

int CandidatesOf(const DrawOptions& options) {
  if (options.temperature <= 0) return 1;
  return options.top_k;
}

absl::StatusOr<std::vector<int32_t>> DrawTokens(absl::Span<const DrawWish> rows,
                                                const VocabGroup& group,
                                                ThreadPool& pool) {
  return Drawer(rows, group, pool).Run();
}

}  // namespace facet
