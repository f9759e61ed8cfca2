// Rotary position embedding, half-split layout: with n = head_dim / 2,
//   (x[i], x[i + n]) <- (x[i] c - x[i + n] s, x[i + n] c + x[i] s)
// for i < rotated_pairs, where c, s = cos, sin of position * frequency[i].
// Source: arXiv:2104.09864.
#ifndef FACET_KERNELS_ROPE_ROPE_H_
#define FACET_KERNELS_ROPE_ROPE_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "kernels/base/cpu.h"
#include "kernels/base/thread_pool.h"

namespace facet {

// 1 / theta^(2 i / head_dim) / factor, i < rotated_pairs: the exponent, the
// power and each quotient rounded to f32 in turn. REQUIRES: theta > 0, factor >
// 0.
std::vector<float> RopeFrequencies(double theta, int head_dim,
                                   int rotated_pairs, double factor);

// cos and sin of f32(position * frequency), each rounded once from a sine of
// our own in f64, so that all machines agree. cos, sin: [positions,
// frequencies].
//
// REQUIRES: 0 <= position * frequency <= 2^22.
void RopeTable(absl::Span<const int64_t> positions,
               absl::Span<const float> frequencies, float* cos, float* sin,
               ThreadPool& pool);

struct RopeArgs {
  int64_t tokens = 0;
  int heads = 0;
  int head_dim = 0;
  int rotated_pairs = 0;       // <= head_dim / 2
  const float* cos = nullptr;  // [tokens, rotated_pairs]
  const float* sin = nullptr;
  float* x = nullptr;        // [tokens, heads, head_dim], in place
  int64_t token_stride = 0;  // elements
};

// x' = fma(x, c, -(other * s)) and fma(other, c, x * s).
void Rope(const RopeArgs& args, ThreadPool& pool);

struct RopeVariant {
  const char* name;
  Isa isa;
  void (*run)(const RopeArgs& args, int64_t begin, int64_t end);  // tokens
};
absl::Span<const RopeVariant> RopeVariants();
// The one in use, for operations that have this one in them.
const RopeVariant& ActiveRope();

}  // namespace facet

#endif  // FACET_KERNELS_ROPE_ROPE_H_
