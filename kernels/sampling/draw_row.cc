#include "kernels/sampling/draw_row.h"

#include <algorithm>
#include <cmath>

#include "kernels/base/check.h"
#include "kernels/sampling/falling_key.h"
#include "kernels/sampling/mass.h"
#include "kernels/sampling/sampling.h"

namespace facet {
namespace {

// Logits weighed at once; what SamplingVariant::mass takes, and little enough
// for the first-level cache.
constexpr int64_t kBlock = 4096;

struct Digit {
  int shift;
  int bits;
};
constexpr Digit kDigitOf[NucleusSearch::kDigits] = {
    {21, 11}, {10, 11}, {0, 10}};

// Calls body(begin, logits of the block, its weights) block by block until it
// returns false. The weights may be written to.
template <typename Body>
void ForEachBlock(absl::Span<const float> logits, const Softmax& softmax,
                  Body body) {
  const SamplingVariant& variant = ActiveSamplingVariant();
  std::array<float, kBlock> weights;
  const int64_t count = static_cast<int64_t>(logits.size());
  for (int64_t begin = 0; begin < count; begin += kBlock) {
    const absl::Span<const float> block = logits.subspan(begin, kBlock);
    std::copy(block.begin(), block.end(), weights.begin());
    variant.weigh(weights.data(), static_cast<int64_t>(block.size()),
                  softmax.best, softmax.temperature);
    if (!body(begin, block, absl::MakeSpan(weights.data(), block.size()))) {
      return;
    }
  }
}

uint64_t BlockMass(absl::Span<const float> weights) {
  return ActiveSamplingVariant().mass(weights.data(),
                                      static_cast<int64_t>(weights.size()));
}

void DropLight(float min_weight, absl::Span<float> weights) {
  for (float& weight : weights) weight = weight < min_weight ? 0 : weight;
}

}  // namespace

float WeightOf(float logit, const Softmax& softmax) {
  ActiveSamplingVariant().weigh(&logit, 1, softmax.best, softmax.temperature);
  return logit;
}

RowMass MassOf(absl::Span<const float> logits, const Softmax& softmax,
               float min_weight) {
  RowMass mass;
  ForEachBlock(logits, softmax,
               [&](int64_t, absl::Span<const float>, absl::Span<float> w) {
                 mass.all += BlockMass(w);
                 if (min_weight > 0) {
                   DropLight(min_weight, w);
                   mass.heavy += BlockMass(w);
                 }
                 return true;
               });
  if (!(min_weight > 0)) mass.heavy = mass.all;
  return mass;
}

NucleusSearch::NucleusSearch(const Softmax& softmax, uint64_t wanted,
                             uint64_t total, int64_t tokens)
    : softmax_(softmax), wanted_(wanted) {
  // All tokens that have no more than this together stay outside.
  const uint64_t light = (total - wanted) / static_cast<uint64_t>(tokens);
  if (light == 0) return;
  // A hundredth below, so that no rounding of exp counts.
  const double depth =
      std::log(static_cast<double>(light) / kMassOfBest) - 0.01;
  floor_ = static_cast<float>(softmax.best + depth * softmax.temperature);
}

void NucleusSearch::AddMassByDigit(absl::Span<const float> logits,
                                   absl::Span<uint64_t> mass) const {
  const auto [shift, bits] = kDigitOf[digit_];
  const uint32_t mask = (1u << bits) - 1;
  const SamplingVariant& variant = ActiveSamplingVariant();
  std::array<float, kBlock> weights;
  std::array<uint16_t, kBlock> digits;
  const int64_t count = static_cast<int64_t>(logits.size());
  for (int64_t begin = 0; begin < count; begin += kBlock) {
    // Without a branch, which would go either way too often.
    int64_t found = 0;
    for (const float logit : logits.subspan(begin, kBlock)) {
      weights[found] = logit;
      found += (logit >= floor_) & (logit <= ceiling_);
    }
    int64_t kept = 0;
    for (int64_t i = 0; i < found; ++i) {
      const uint64_t key = FallingKey(weights[i]);
      weights[kept] = weights[i];
      digits[kept] = static_cast<uint16_t>(key >> shift & mask);
      kept += key >> (shift + bits) == prefix_ ? 1 : 0;
    }
    variant.weigh(weights.data(), kept, softmax_.best, softmax_.temperature);
    for (int64_t i = 0; i < kept; ++i) mass[digits[i]] += ToMass(weights[i]);
  }
}

void NucleusSearch::Narrow(absl::Span<const uint64_t> mass) {
  const size_t ranks = mass.size() / kDigitValues;
  above_.resize(ranks);
  const auto of = [&](size_t rank, uint32_t value) {
    return mass[rank * kDigitValues + value];
  };
  const auto [shift, bits] = kDigitOf[digit_];
  const uint32_t values = 1u << bits;
  uint32_t value = 0;
  uint64_t here = 0;
  for (; value < values; ++value) {
    here = 0;
    for (size_t r = 0; r < ranks; ++r) here += of(r, value);
    if (above_total_ + here >= wanted_) break;
    above_total_ += here;
    for (size_t r = 0; r < ranks; ++r) above_[r] += of(r, value);
  }
  FACET_CHECK(value < values);
  prefix_ = prefix_ << bits | value;
  // Of all logits with this prefix, and a zero of the other sign perhaps. A
  // border among the NaNs is none.
  const float low = LogitOfKey(prefix_ << shift | ((1u << shift) - 1));
  const float high = LogitOfKey(prefix_ << shift);
  if (low > floor_) floor_ = low;
  if (high < ceiling_) ceiling_ = high;
  if (++digit_ < kDigits) return;
  // All that is left has one logit, and so one mass.
  const uint64_t each = ToMass(WeightOf(threshold(), softmax_));
  ties_.resize(ranks);
  for (size_t r = 0; r < ranks; ++r) ties_[r] = of(r, value) / each;
  ties_kept_ = (wanted_ - above_total_ + each - 1) / each;
}

float NucleusSearch::threshold() const { return LogitOfKey(prefix_); }

int64_t WalkTo(uint64_t point, absl::Span<const float> logits,
               const Softmax& softmax, RowCut cut) {
  int64_t found = -1;
  uint64_t below = 0;
  ForEachBlock(
      logits, softmax,
      [&](int64_t begin, absl::Span<const float> x, absl::Span<float> w) {
        DropLight(cut.min_weight, w);
        for (size_t i = 0; i < x.size(); ++i) {
          if (x[i] > cut.threshold) continue;
          const bool kept = x[i] == cut.threshold && cut.ties > 0;
          if (kept) --cut.ties;
          if (!kept) w[i] = 0;
        }
        const uint64_t mass = BlockMass(w);
        if (below + mass <= point) {
          below += mass;
          return true;
        }
        for (size_t i = 0; i < x.size() && found < 0; ++i) {
          below += ToMass(w[i]);
          if (point < below) found = begin + static_cast<int64_t>(i);
        }
        return false;
      });
  FACET_CHECK(found >= 0);
  return found;
}

}  // namespace facet
