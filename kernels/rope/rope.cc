#include "kernels/rope/rope.h"

#include <algorithm>

#include "kernels/base/math64.h"
#include "kernels/base/variants.h"
#include "kernels/rope/rope_variants.h"

namespace facet {
namespace {

constexpr RopeVariant kBestFirst[] = {
    {"avx512", Isa::kAvx512, &RopeAvx512},
    {"avx2", Isa::kAvx2, &RopeAvx2},
    {"reference", Isa::kReference, &RopeReference},
};

// Elements a thread takes at least: a few microseconds of work.
constexpr int64_t kRotateGrain = 16384;
constexpr int64_t kTableGrain = 128;

int64_t Grain(int64_t elements, int64_t per_token) {
  return std::max<int64_t>(1, elements / std::max<int64_t>(per_token, 1));
}

}  // namespace

std::vector<float> RopeFrequencies(double theta, int head_dim,
                                   int rotated_pairs, double factor) {
  std::vector<float> frequencies(rotated_pairs);
  const double log_theta = Log64(theta);
  for (int i = 0; i < rotated_pairs; ++i) {
    const float exponent = 2.0f * i / head_dim;
    const float power = static_cast<float>(Exp64(exponent * log_theta));
    frequencies[i] = 1.0f / power / static_cast<float>(factor);
  }
  return frequencies;
}

void RopeTable(absl::Span<const int64_t> positions,
               absl::Span<const float> frequencies, float* cos, float* sin,
               ThreadPool& pool) {
  const int64_t count = static_cast<int64_t>(frequencies.size());
  pool.ParallelFor(static_cast<int64_t>(positions.size()),
                   Grain(kTableGrain, count), [&](int64_t begin, int64_t end) {
                     for (int64_t t = begin; t < end; ++t) {
                       const float position = static_cast<float>(positions[t]);
                       for (int64_t i = 0; i < count; ++i) {
                         const float angle = position * frequencies[i];
                         const SinCos64 value = SinCos(angle);
                         cos[t * count + i] = static_cast<float>(value.cos);
                         sin[t * count + i] = static_cast<float>(value.sin);
                       }
                     }
                   });
}

absl::Span<const RopeVariant> RopeVariants() {
  return RunnableVariants(kBestFirst);
}

const RopeVariant& ActiveRope() { return ActiveVariant(kBestFirst); }

void Rope(const RopeArgs& args, ThreadPool& pool) {
  const RopeVariant& variant = ActiveVariant(kBestFirst);
  const int64_t per_token = int64_t{2} * args.heads * args.rotated_pairs;
  pool.ParallelFor(
      args.tokens, Grain(kRotateGrain, per_token),
      [&](int64_t begin, int64_t end) { variant.run(args, begin, end); });
}

}  // namespace facet
