// A draw from a whole vocabulary without sorting it, in parts that ranks do for
// their runs of it: weigh, find where the nucleus ends, walk to the random
// point. The token is the one that Draw() finds among all candidates.
#ifndef FACET_KERNELS_SAMPLING_DRAW_ROW_H_
#define FACET_KERNELS_SAMPLING_DRAW_ROW_H_

#include <array>
#include <cstdint>
#include <limits>
#include <vector>

#include "absl/types/span.h"

namespace facet {

// A token weighs exp((logit - best) / temperature); see mass.h.
struct Softmax {
  float best = 0;  // of the whole vocabulary; finite
  float temperature = 1;
};

float WeightOf(float logit, const Softmax& softmax);

struct RowMass {
  uint64_t all = 0;
  uint64_t heavy = 0;  // of tokens that weigh min_weight or more
};
RowMass MassOf(absl::Span<const float> logits, const Softmax& softmax,
               float min_weight);

// Finds the logit at which the shortest prefix of the sorted vocabulary reaches
// a mass, by three digits of its bits.
class NucleusSearch {
 public:
  static constexpr int kDigits = 3;
  static constexpr int kDigitValues = 1 << 11;

  // `total` is the mass of the vocabulary, which has so many `tokens`.
  // REQUIRES: 0 < wanted <= total.
  NucleusSearch(const Softmax& softmax, uint64_t wanted, uint64_t total,
                int64_t tokens);

  // What a run weighs by the next digit, as far as the digits before are those
  // of the wanted logit. Tokens so light that all of them together cannot
  // belong to the nucleus are left out.
  void AddMassByDigit(absl::Span<const float> logits,
                      absl::Span<uint64_t> mass) const;

  // Fixes the next digit by the masses of all ranks: [ranks, kDigitValues].
  void Narrow(absl::Span<const uint64_t> mass);

  // After kDigits calls of Narrow().
  float threshold() const;
  // Of tokens above the threshold, and how many are at it, by rank.
  absl::Span<const uint64_t> mass_above() const { return above_; }
  absl::Span<const uint64_t> ties() const { return ties_; }
  // How many at the threshold belong to the nucleus: the lowest tokens.
  uint64_t ties_kept() const { return ties_kept_; }

 private:
  const Softmax softmax_;
  const uint64_t wanted_;
  // Only logits between these count.
  float floor_ = -std::numeric_limits<float>::infinity();
  float ceiling_ = std::numeric_limits<float>::infinity();
  int digit_ = 0;
  uint32_t prefix_ = 0;
  uint64_t above_total_ = 0;
  std::vector<uint64_t> above_;
  std::vector<uint64_t> ties_;
  uint64_t ties_kept_ = 0;
};

// The tokens of a run that may be drawn: those above `threshold`, and the first
// `ties` at it; of both, those that weigh min_weight or more.
struct RowCut {
  float threshold = -std::numeric_limits<float>::infinity();
  uint64_t ties = 0;
  float min_weight = 0;
};

// Walks the run in rising order of token and returns the index at which the
// mass kept passes `point`. REQUIRES: the mass kept is above `point`.
int64_t WalkTo(uint64_t point, absl::Span<const float> logits,
               const Softmax& softmax, RowCut cut);

}  // namespace facet

#endif  // FACET_KERNELS_SAMPLING_DRAW_ROW_H_
