// Which products of many rows take large tiles of tensor cores, and in which
// order their blocks go; arithmetic alone, for both sides.
#ifndef FACET_KERNELS_MATMUL_BIG_PRODUCTS_CUDA_PLAN_H_
#define FACET_KERNELS_MATMUL_BIG_PRODUCTS_CUDA_PLAN_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "kernels/base/host_device.h"
#include "kernels/matmul/big_tile_cuda_plan.h"
#include "kernels/matmul/matmul.h"
#include "kernels/matmul/matmul_cuda_plan.h"

namespace facet {

// Device memory that products of many rows work in.
struct ProductScratch {
  BF16* rounded = nullptr;  // inputs, rounded once for all that read them
  size_t rounded_bytes = 0;
  float* sums = nullptr;  // kSumsBytes; null: none of either
  int shared_bytes = 0;   // that a block may have
};
// Sums of segments that are added later, or of the second half of a gated
// product: a few rows or columns at a time.
inline constexpr int64_t kSumsBytes = int64_t{64} << 20;

// For steps of up to `tokens`, whose products read rows of up to `widest`
// elements.
inline size_t RoundedBytes(int64_t tokens, int64_t widest) {
  return static_cast<size_t>(2 * tokens * widest);
}

// How one product is cut. Segments are sums of their own, unless nobody asks
// for the contract's order.
struct BigShape {
  int warps_w = 0;  // of a tile; 0: the product takes no large tiles
  int segments = 1;
  int64_t rows = 0;  // of x that are multiplied before segments are added
};

// Blocks below which a large card would not be busy: then smaller tiles win.
inline constexpr int64_t kFewestBigTiles = 96;

inline int64_t BigTilesOf(const MatmulArgs& args, int warps_w, int64_t rows,
                          int segments) {
  const int64_t columns = BigTileColumns(warps_w, args.up != nullptr);
  return (args.n + columns - 1) / columns *
         ((rows + kBigTileX - 1) / kBigTileX) * segments;
}

// May go by the number of rows: a result's bits are those of every other tile.
inline BigShape BigShapeOf(const MatmulArgs& args, bool any_order,
                           const ProductScratch& scratch) {
  const auto even = [](const void* p) {
    return reinterpret_cast<uintptr_t>(p) % 8 == 0;
  };
  BigShape shape;
  shape.segments = any_order ? 1 : args.segments;
  shape.rows = args.m;
  const int64_t part = shape.segments > 0 ? args.k / shape.segments : 0;
  if (scratch.sums == nullptr || !args.bf16_inputs ||
      args.w_dtype != DType::kBF16 || args.m < kManyRows ||
      RoundedBytes(args.m, args.k) > scratch.rounded_bytes ||
      !CanBigTile(args.w, args.w_stride, args.n, args.k) ||
      !CanBigTile(args.up, args.w_stride, args.n, part) || !even(args.y) ||
      args.y_stride % 2 != 0) {
    return {};
  }
  if (shape.segments > 1) {
    const int64_t row_bytes = 4 * shape.segments * args.n;
    shape.rows = std::min(
        args.m, kSumsBytes / row_bytes / kBigTileX * int64_t{kBigTileX});
    // Parts are added row behind row.
    if (args.up != nullptr || part % 16 != 0 || shape.rows == 0 ||
        args.y_stride != args.n) {
      return {};
    }
  }
  for (const int warps_w : {4, 2}) {
    if (BigTileSharedBytes(warps_w) <= scratch.shared_bytes &&
        BigTilesOf(args, warps_w, shape.rows, shape.segments) >=
            kFewestBigTiles) {
      shape.warps_w = warps_w;
      return shape;
    }
  }
  return {};
}

// The tile of block `block` of tiles_w * tiles_x. Blocks that run at the same
// time share few rows of w and of x, so that both come from the second-level
// cache: they walk up to 16 tiles along x before the next one along w.
struct BigPosition {
  int64_t w = 0, x = 0;
};
FACET_HOST_DEVICE constexpr BigPosition BigPositionOf(int64_t block,
                                                      int64_t tiles_w,
                                                      int64_t tiles_x) {
  constexpr int64_t kBand = 16;
  const int64_t band = block / (kBand * tiles_w) * kBand;
  const int64_t width = tiles_x - band < kBand ? tiles_x - band : kBand;
  const int64_t in_band = block - band * tiles_w;
  return {in_band / width, band + in_band % width};
}

}  // namespace facet

#endif  // FACET_KERNELS_MATMUL_BIG_PRODUCTS_CUDA_PLAN_H_
