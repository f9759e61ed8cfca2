#include "kernels/sampling/sampling.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <utility>

#include "kernels/base/check.h"
#include "kernels/base/math.h"
#include "kernels/base/math64.h"
#include "kernels/base/variants.h"
#include "kernels/sampling/philox.h"
#include "kernels/sampling/sampling_variants.h"

namespace facet {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

constexpr SamplingVariant kBestFirst[] = {
    {"avx512", Isa::kAvx512, &MaxLogitAvx512, &SumExpAvx512, &SoftenAvx512},
    {"avx2", Isa::kAvx2, &MaxLogitAvx2, &SumExpAvx2, &SoftenAvx2},
    {"reference", Isa::kReference, &MaxLogitReference, &SumExpReference,
     &SoftenReference},
};

// Logits that share one maximum in TopLogits().
constexpr int64_t kBlock = 256;

// From here on sorting by digits beats sorting by comparison.
constexpr size_t kManyCandidates = 4096;

bool Better(const TokenLogit& a, const TokenLogit& b) {
  return a.logit != b.logit ? a.logit > b.logit : a.token < b.token;
}

// Falls as the logit rises; -0 and 0 share a key.
uint32_t FallingKey(float logit) {
  const float value = logit + 0.0f;
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  return bits & 0x80000000u ? bits : ~bits & 0x7fffffffu;
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

double Mass(const std::vector<float>& p, size_t count) {
  double sum = 0;
  for (size_t i = 0; i < count; ++i) sum += p[i];
  return sum;
}

}  // namespace

absl::Span<const SamplingVariant> SamplingVariants() {
  return RunnableVariants(kBestFirst);
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
  size_t count = candidates.size();
  if (options.top_k > 0) {
    count = std::min(count, static_cast<size_t>(options.top_k));
  }
  // Unnormalised: the best one's is 1.
  std::vector<float> p(count);
  for (size_t i = 0; i < count; ++i) p[i] = candidates[i].logit;
  ActiveVariant(kBestFirst)
      .soften(p.data(), static_cast<int64_t>(count), best, options.temperature);
  if (options.top_p < 1) {
    const double wanted = options.top_p * Mass(p, count);
    double mass = p[0];
    size_t kept = 1;
    while (kept < count && mass < wanted) mass += p[kept++];
    count = kept;
  }
  while (count > 1 && p[count - 1] < options.min_p) --count;
  const double target =
      Mass(p, count) * UniformAt(options.seed, options.position);
  double below = 0;
  for (size_t i = 0; i + 1 < count; ++i) {
    below += p[i];
    if (target < below) return candidates[i].token;
  }
  return candidates[count - 1].token;
}

float UniformAt(uint64_t seed, int64_t position) {
  const uint64_t counter = static_cast<uint64_t>(position);
  const std::array<uint32_t, 4> bits = Philox4x32(
      {static_cast<uint32_t>(counter), static_cast<uint32_t>(counter >> 32), 0,
       0},
      {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)});
  return static_cast<float>(bits[0] >> 8) * 0x1p-24f;
}

}  // namespace facet
