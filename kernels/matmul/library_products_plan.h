// Which products of --numerics=fast a vendor's library computes, and in which
// pieces; arithmetic alone.
#ifndef FACET_KERNELS_MATMUL_LIBRARY_PRODUCTS_PLAN_H_
#define FACET_KERNELS_MATMUL_LIBRARY_PRODUCTS_PLAN_H_

#include <algorithm>
#include <climits>
#include <cstddef>
#include <cstdint>

#include "kernels/base/dtype.h"
#include "kernels/matmul/big_products_cuda_plan.h"
#include "kernels/matmul/matmul.h"
#include "kernels/matmul/matmul_cuda_plan.h"

namespace facet {

// What cuBLAS asks for on Hopper.
inline constexpr int64_t kLibraryWorkspaceBytes = int64_t{32} << 20;
// Code and tables that the library brings to the device when it first runs, an
// allowance: it tells nobody how much that is.
inline constexpr int64_t kLibraryOwnBytes = int64_t{256} << 20;
// The second half of a gated product, a few columns at a time: with the first
// half's columns it then stays in a second-level cache until both are
// multiplied.
inline constexpr int64_t kUpBytes = int64_t{32} << 20;
static_assert(kUpBytes <= kSumsBytes);
// Columns of a piece are whole tiles of any library's.
inline constexpr int64_t kColumnTile = 256;

inline bool LibraryTakes(const MatmulArgs& args) {
  return args.bf16_inputs && args.w_dtype == DType::kBF16 &&
         args.m >= kManyRows && args.m <= kUpBytes / 4 && args.n > 0 &&
         args.k > 0 && args.w_stride >= args.k && args.y_stride >= args.n &&
         std::max({args.m, args.n, args.k, args.w_stride, args.y_stride}) <=
             INT_MAX;
}

// Columns of a gated product that are computed together: as many as kUpBytes
// holds, in pieces of about the same size.
inline int64_t ColumnsTogether(int64_t rows, int64_t columns) {
  const int64_t fit = std::max<int64_t>(1, kUpBytes / (4 * rows));
  if (columns <= fit) return columns;
  if (fit < kColumnTile) return fit;
  const int64_t most = fit / kColumnTile * kColumnTile;
  const int64_t pieces = (columns + most - 1) / most;
  const int64_t even = (columns + pieces - 1) / pieces;
  return (even + kColumnTile - 1) / kColumnTile * kColumnTile;
}

}  // namespace facet

#endif  // FACET_KERNELS_MATMUL_LIBRARY_PRODUCTS_PLAN_H_
