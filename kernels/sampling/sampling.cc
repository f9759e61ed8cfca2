#include "kernels/sampling/sampling.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <limits>
#include <utility>

#include "kernels/base/check.h"
#include "kernels/base/math.h"
#include "kernels/base/math64.h"
#include "kernels/base/variants.h"
#include "kernels/sampling/falling_key.h"
#include "kernels/sampling/mass.h"
#include "kernels/sampling/philox.h"
#include "kernels/sampling/sampling_variants.h"

namespace facet {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

constexpr SamplingVariant kBestFirst[] = {
    {"avx512", Isa::kAvx512, &MaxLogitAvx512, &SumExpAvx512, &WeighAvx512,
     &MassAvx512},
    {"avx2", Isa::kAvx2, &MaxLogitAvx2, &SumExpAvx2, &WeighAvx2, &MassAvx2},
    {"reference", Isa::kReference, &MaxLogitReference, &SumExpReference,
     &WeighReference, &MassReference},
};

// Logits that share one maximum in TopLogits().
constexpr int64_t kBlock = 256;

// From here on sorting by digits beats sorting by comparison.
constexpr size_t kManyCandidates = 4096;

bool Better(const TokenLogit& a, const TokenLogit& b) {
  return a.logit != b.logit ? a.logit > b.logit : a.token < b.token;
}

// Sorts candidates that stand in rising order of token: least significant digit
// first, each pass stable, so equal logits keep that order.
void SortByDigits(std::vector<TokenLogit>& candidates) {
  constexpr int kDigitBits = 11, kDigits = 1 << kDigitBits;
  std::vector<TokenLogit> other(candidates.size());
  for (int shift = 0; shift < 32; shift += kDigitBits) {
    const auto digit = [shift](const TokenLogit& candidate) {
      return FallingKey(candidate.logit) >> shift & (kDigits - 1);
    };
    std::array<uint32_t, kDigits> place = {};
    for (const TokenLogit& c : candidates) ++place[digit(c)];
    uint32_t before = 0;
    for (uint32_t& p : place) before += std::exchange(p, before);
    for (const TokenLogit& c : candidates) other[place[digit(c)]++] = c;
    candidates.swap(other);
  }
}

// Keeps the k best in order. REQUIRES: rising tokens where there are many.
void KeepBest(std::vector<TokenLogit>& candidates, size_t k) {
  if (candidates.size() >= kManyCandidates && k >= candidates.size() / 16) {
    SortByDigits(candidates);
    if (candidates.size() > k) candidates.resize(k);
    return;
  }
  if (candidates.size() > k) {
    std::nth_element(candidates.begin(), candidates.begin() + k,
                     candidates.end(), Better);
    candidates.resize(k);
  }
  std::sort(candidates.begin(), candidates.end(), Better);
}

// A lower bound on the k-th largest logit: k blocks have a maximum that is at
// least this.
float Threshold(std::vector<float> maxima, int k) {
  if (k > static_cast<int>(maxima.size())) return -kInfinity;
  std::nth_element(maxima.begin(), maxima.begin() + (k - 1), maxima.end(),
                   std::greater<float>());
  return maxima[k - 1];
}

ExpSum Combine(const ExpSum& a, const ExpSum& b) {
  const float max = std::max(a.max, b.max);
  const auto scaled = [max](const ExpSum& s) {
    return s.max == max ? s.sum : s.sum * Exp(s.max - max);
  };
  return {max, scaled(a) + scaled(b)};
}

// Of the best candidate: 1.
std::vector<float> Weights(absl::Span<const TokenLogit> candidates,
                           float temperature) {
  std::vector<float> weights;
  weights.reserve(candidates.size());
  for (const TokenLogit& c : candidates) weights.push_back(c.logit);
  ActiveVariant(kBestFirst)
      .weigh(weights.data(), static_cast<int64_t>(weights.size()),
             candidates[0].logit, temperature);
  return weights;
}

}  // namespace

absl::Span<const SamplingVariant> SamplingVariants() {
  return RunnableVariants(kBestFirst);
}

const SamplingVariant& ActiveSamplingVariant() {
  return ActiveVariant(kBestFirst);
}

std::vector<TokenLogit> TopLogits(absl::Span<const float> logits, int32_t first,
                                  int k) {
  std::vector<TokenLogit> best;
  const int64_t count = static_cast<int64_t>(logits.size());
  if (k <= 0 || count == 0) return best;
  const SamplingVariant& variant = ActiveVariant(kBestFirst);
  std::vector<float> maxima((count + kBlock - 1) / kBlock);
  for (size_t b = 0; b < maxima.size(); ++b) {
    const int64_t begin = static_cast<int64_t>(b) * kBlock;
    maxima[b] =
        variant.max(logits.data() + begin, std::min(kBlock, count - begin));
  }
  const float threshold = Threshold(maxima, k);
  if (threshold == -kInfinity) best.reserve(logits.size());
  for (size_t b = 0; b < maxima.size(); ++b) {
    if (!(maxima[b] >= threshold)) continue;
    const int64_t begin = static_cast<int64_t>(b) * kBlock;
    const int64_t end = std::min(count, begin + kBlock);
    for (int64_t i = begin; i < end; ++i) {
      if (!(logits[i] >= threshold)) continue;
      best.push_back({first + static_cast<int32_t>(i), logits[i]});
      if (k == 1) return best;
    }
  }
  KeepBest(best, k);
  return best;
}

std::vector<TokenLogit> MergeTopLogits(
    absl::Span<const std::vector<TokenLogit>> lists, int k) {
  // Pairs of neighbours are merged until one list is left.
  std::vector<std::vector<TokenLogit>> left(lists.begin(), lists.end());
  const size_t limit = static_cast<size_t>(std::max(k, 0));
  while (left.size() > 1) {
    std::vector<std::vector<TokenLogit>> merged((left.size() + 1) / 2);
    for (size_t i = 0; i < left.size(); i += 2) {
      std::vector<TokenLogit>& out = merged[i / 2];
      if (i + 1 == left.size()) {
        out = std::move(left[i]);
        break;
      }
      out.resize(left[i].size() + left[i + 1].size());
      std::merge(left[i].begin(), left[i].end(), left[i + 1].begin(),
                 left[i + 1].end(), out.begin(), Better);
      if (out.size() > limit) out.resize(limit);
    }
    left = std::move(merged);
  }
  if (left.empty()) return {};
  if (left[0].size() > limit) left[0].resize(limit);
  return std::move(left[0]);
}

ExpSum SumExp(absl::Span<const float> logits) {
  const SamplingVariant& variant = ActiveVariant(kBestFirst);
  const int64_t count = static_cast<int64_t>(logits.size());
  // The sum of zeros has one sign, however the variant walked.
  const float max = variant.max(logits.data(), count) + 0.0f;
  if (max == -kInfinity) return {max, 0};
  return {max, variant.sum_exp(logits.data(), count, max)};
}

float CombineExpSums(absl::Span<const ExpSum> slices) {
  FACET_DCHECK(!slices.empty() && (slices.size() & (slices.size() - 1)) == 0);
  std::vector<ExpSum> sums(slices.begin(), slices.end());
  for (size_t step = 1; step < sums.size(); step *= 2) {
    for (size_t i = 0; i < sums.size(); i += 2 * step) {
      sums[i] = Combine(sums[i], sums[i + step]);
    }
  }
  if (!(sums[0].sum > 0)) return -kInfinity;
  return static_cast<float>(sums[0].max + Log64(sums[0].sum));
}

int32_t Draw(absl::Span<const TokenLogit> candidates,
             const DrawOptions& options) {
  FACET_CHECK(!candidates.empty());
  const float best = candidates[0].logit;
  if (!(options.temperature > 0) || !std::isfinite(best)) {
    return candidates[0].token;
  }
  if (options.top_k > 0) {
    candidates = candidates.subspan(0, options.top_k);
  }
  uint64_t total = 0;
  for (const float weight : Weights(candidates, options.temperature)) {
    total += ToMass(weight);
  }
  return *DrawFromHead(candidates, total, options);
}

std::optional<int32_t> DrawFromHead(absl::Span<const TokenLogit> head,
                                    uint64_t total,
                                    const DrawOptions& options) {
  FACET_CHECK(!head.empty());
  const std::vector<float> weights = Weights(head, options.temperature);
  const uint64_t wanted = ShareOf(total, options.top_p);
  uint64_t mass = ToMass(weights[0]);
  size_t kept = 1;
  bool cut = mass >= wanted;  // nothing behind the head is kept
  while (!cut && kept < head.size()) {
    cut = weights[kept] < options.min_p;
    if (cut) break;
    mass += ToMass(weights[kept++]);
    cut = mass >= wanted;
  }
  if (!cut) return std::nullopt;

  struct Part {
    int32_t token;
    uint64_t mass;
  };
  std::vector<Part> parts(kept);
  for (size_t i = 0; i < kept; ++i) {
    parts[i] = {head[i].token, ToMass(weights[i])};
  }
  std::sort(parts.begin(), parts.end(),
            [](const Part& a, const Part& b) { return a.token < b.token; });
  const uint64_t point =
      PointIn(mass, RandomBitsAt(options.seed, options.position));
  uint64_t below = 0;
  for (const Part& part : parts) {
    below += part.mass;
    if (point < below) return part.token;
  }
  FACET_CHECK(false);
  return std::nullopt;
}

uint64_t RandomBitsAt(uint64_t seed, int64_t position) {
  const uint64_t counter = static_cast<uint64_t>(position);
  const std::array<uint32_t, 4> bits = Philox4x32(
      {static_cast<uint32_t>(counter), static_cast<uint32_t>(counter >> 32), 0,
       0},
      {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)});
  return uint64_t{bits[0]} << 32 | bits[1];
}

}  // namespace facet
