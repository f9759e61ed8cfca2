// n[t, i] = x[t, i] * (mean_i(x[t, i]^2) + epsilon)^(-1/2) * weight[i]
// y[t, i] = (residual[t, i] + n[t, i]) * output_scale
//
// The sum of squares has 16 lanes, lane l takes i % 16 == l in rising i by
// fused multiply-add, and lanes are added l + 8, l + 4, l + 2, l + 1: a row's
// bits do not depend on how many rows there are. Products round one by one,
// left to right. Source: arXiv:1910.07467, eq. 4.
#ifndef FACET_KERNELS_RMS_NORM_RMS_NORM_H_
#define FACET_KERNELS_RMS_NORM_RMS_NORM_H_

#include <cstdint>

#include "absl/types/span.h"
#include "kernels/base/cpu.h"
#include "kernels/base/thread_pool.h"

namespace facet {

struct RmsNormArgs {
  int64_t rows = 0;
  int64_t width = 0;
  const float* x = nullptr;         // [rows, width]
  int64_t x_stride = 0;             // elements from one row to the next
  const float* weight = nullptr;    // [width]; null: all ones, no product
  float epsilon = 1e-6f;            // > 0
  const float* residual = nullptr;  // [rows, width], stride of y; null: none
  float output_scale = 1.0f;        // 1: no product
  float* y = nullptr;  // [rows, width]; may be x (same stride) or residual
  int64_t y_stride = 0;
};

void RmsNorm(const RmsNormArgs& args, ThreadPool& pool);

// Norms of the same rows one after another: each may read what an earlier one
// wrote. One parallel region. REQUIRES: equal `rows`.
void RmsNormChain(absl::Span<const RmsNormArgs> chain, ThreadPool& pool);

// One implementation of rows [begin, end).
struct RmsNormVariant {
  const char* name;
  Isa isa;
  void (*run)(const RmsNormArgs& args, int64_t begin, int64_t end);
};

// Every variant this machine runs, best first; the last is the reference.
absl::Span<const RmsNormVariant> RmsNormVariants();
// The one in use, for operations that have this one in them.
const RmsNormVariant& ActiveRmsNorm();

}  // namespace facet

#endif  // FACET_KERNELS_RMS_NORM_RMS_NORM_H_
