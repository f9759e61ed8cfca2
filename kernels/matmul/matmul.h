// y[i, j] = sum_k x[row(i), k] * w[j, k]: every product with a weight matrix.
// With a second matrix `up`, y[i, j] = gelu_tanh(x[row(i)] . w[j]) * (x[row(i)]
// . up[j]): the gated half of a feed-forward block, as kernels/gated_gelu.
//
// Order of accumulation, the same for every m, n, thread count and instruction
// set: k is cut into `segments` equal parts. Inside one part, lane l of 16 adds
// the products with k % 16 == l (counted from the part's start) by fused
// multiply-add in rising k; lanes are added l + 8, l + 4, l + 2, l + 1. Parts
// are added along a binary tree, (0 + 1) + (2 + 3) and so on.
//
// With `bf16_inputs` x is rounded to bf16 first. Where the machine has a bf16
// dot-product instruction and w is bf16, lane l of 16 then holds the pairs
// (2 l, 2 l + 1) of every 32 k; see MatmulUsesBf16DotProduct().
#ifndef FACET_KERNELS_MATMUL_MATMUL_H_
#define FACET_KERNELS_MATMUL_MATMUL_H_

#include <cstdint>

#include "absl/types/span.h"
#include "kernels/base/cpu.h"
#include "kernels/base/dtype.h"
#include "kernels/base/thread_pool.h"

namespace facet {

struct MatmulArgs {
  int64_t m = 0;
  int64_t n = 0;
  int64_t k = 0;
  const float* x = nullptr;         // rows of k
  int64_t x_stride = 0;             // elements from one row to the next
  const int32_t* x_rows = nullptr;  // [m]: row(i); null: row(i) = i
  const void* w = nullptr;          // [n, k], bf16 or f32, any alignment
  DType w_dtype = DType::kBF16;
  int64_t w_stride = 0;      // elements
  const void* up = nullptr;  // [n, k], dtype and stride of w; null: none
  int segments = 1;          // a power of two up to 32 that divides k
  bool bf16_inputs = false;
  // With bf16_inputs, where they have been rounded already: rows like those of
  // x. Matmul() sees to it where a variant gains by that; null: each block
  // rounds its own.
  const BF16* x_rounded = nullptr;
  int64_t x_rounded_stride = 0;  // elements
  float* y = nullptr;    // [m, n], not overlapping x
  int64_t y_stride = 0;  // elements
};

// Runs all problems in one parallel region; they may share x. Work is handed
// out by blocks of rows of w, so each byte of w is read from memory once.
//
// REQUIRES: shapes, dtypes and segments as above.
void Matmul(absl::Span<const MatmulArgs> problems, ThreadPool& pool);

// What Matmul(products) will read first: threads fetch it to their caches while
// they wait behind the next parallel region. Changes no result; `x` and `y` may
// be anything.
void FetchWeightsAhead(absl::Span<const MatmulArgs> products, ThreadPool& pool);

// Whether `bf16_inputs` products of this process go through a dot-product
// instruction, which adds in an order that others can't repeat cheaply.
bool MatmulUsesBf16DotProduct();

// Which weights come next, so that they can be asked for in time.
struct MatmulStream {
  bool fetched = false;        // this block's were asked for already
  const void* next = nullptr;  // the next block's first row; null: none
  int64_t next_rows = 0;
  int64_t next_stride = 0;  // bytes
};

// One implementation of the rows [n_begin, n_end) of one problem.
struct MatmulVariant {
  const char* name;
  Isa isa;
  // `scratch` has MatmulScratchFloats(args) floats.
  void (*run)(const MatmulArgs& args, int64_t n_begin, int64_t n_end,
              const MatmulStream& stream, float* scratch);
};

// Every variant this machine runs, best first; the last is the reference.
absl::Span<const MatmulVariant> MatmulVariants();

int64_t MatmulScratchFloats(const MatmulArgs& args);

}  // namespace facet

#endif  // FACET_KERNELS_MATMUL_MATMUL_H_
