// What this machine allows, measured: the rates that a forward pass is held
// against. A benchmark reports fractions of these, taken in the same run over
// the same pages of memory, because absolute figures of one machine say nothing
// about another.
#ifndef FACET_KERNELS_MACHINE_LIMITS_MACHINE_LIMITS_H_
#define FACET_KERNELS_MACHINE_LIMITS_MACHINE_LIMITS_H_

#include <cstdint>

#include "absl/types/span.h"
#include "kernels/base/cpu.h"
#include "kernels/base/dtype.h"
#include "kernels/base/thread_pool.h"

namespace facet {

// Over repeated runs.
struct Rate {
  double median = 0;
  double min = 0;
  double max = 0;
};

// REQUIRES: not empty. The median of an even number of values is the mean of
// the two in the middle.
Rate Summarize(absl::Span<const double> values);

struct MachineLimits {
  Isa isa = Isa::kReference;  // the instruction set that was measured
  int threads = 1;
  int64_t bytes = 0;  // read by each run
  // Summing all bytes up and doing nothing else. Better of two loops, with and
  // without software prefetch.
  Rate read_gb_per_s;
  // Product of all weights with one vector, bf16 widened, f32 fused
  // multiply-add: what one decoded token costs at least. Best of the row counts
  // kLimitRowCounts, and which one that was.
  Rate matvec_gb_per_s;
  int matvec_rows = 0;
  // f32 fused multiply-adds that never leave the registers.
  Rate fma_gflop_per_s;
  // The same for bf16 dot products; 0 where the instruction set has none.
  Rate bf16_dot_gflop_per_s;
};

// Rows of weights that a matrix-vector loop walks side by side.
inline constexpr int kLimitRowCounts[] = {1, 4, 6};

// Weights per row, whatever the shapes of the caller's tensors. A row of 3 KiB
// keeps rows side by side out of each other's cache sets.
inline constexpr int kLimitRowWeights = 1536;

// Measures under ActiveIsa() with all threads of `pool`, `repeats` times each
// after a first run that does not count. `weights` are runs of bf16 numbers,
// already in this process's page tables; what is left of each behind its last
// whole row is not read. For memory rates they should be many times the caches.
//
// REQUIRES: repeats >= 1; at least one run of kLimitRowWeights weights.
MachineLimits MeasureMachineLimits(
    absl::Span<const absl::Span<const BF16>> weights, int repeats,
    ThreadPool& pool);

// The rates that decode and prefill are held against, at one moment.
struct LimitSample {
  double matvec_gb_per_s = 0;
  double fma_gflop_per_s = 0;
  double bf16_dot_gflop_per_s = 0;  // 0 where the instruction set has none
};

// A short look, some quarter of a second: a machine that others share drifts
// from second to second, so a figure is held against samples taken right before
// and right after it. `matvec_rows` is what MeasureMachineLimits() found best.
//
// REQUIRES: as above; `matvec_rows` is one of kLimitRowCounts.
LimitSample SampleMachineLimits(
    absl::Span<const absl::Span<const BF16>> weights, int matvec_rows,
    ThreadPool& pool);

// The loops of one instruction set.
struct LimitVariant {
  const char* name;
  Isa isa;
  // Sum of the bytes as 32-bit words. REQUIRES: `bytes` is a multiple of 1024.
  uint32_t (*read)(const uint8_t* data, int64_t bytes);
  uint32_t (*read_prefetched)(const uint8_t* data, int64_t bytes);
  // y[r] = the product of row r and x, by entry of kLimitRowCounts.
  // `x` has kLimitRowWeights floats.
  void (*matvec[3])(const BF16* w, int64_t rows, const float* x, float* y);
  // Dependent chains of multiply-adds, enough to fill the units; returns
  // something that depends on all of them.
  float (*fma)(int64_t rounds);
  int64_t fma_flops_per_round;
  // Null where there is no such instruction.
  float (*bf16_dot)(int64_t rounds);
  int64_t bf16_dot_flops_per_round;
};

// Those this machine runs, best first; the last is the reference.
absl::Span<const LimitVariant> LimitVariants();

}  // namespace facet

#endif  // FACET_KERNELS_MACHINE_LIMITS_MACHINE_LIMITS_H_
