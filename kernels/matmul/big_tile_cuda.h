// A tile of a product of bf16 inputs and bf16 weights on tensor cores, for
// kernels that hand out tiles in their own ways. A sum is one run of 16-wide
// products in rising k, whatever tile it is in.
#ifndef FACET_KERNELS_MATMUL_BIG_TILE_CUDA_H_
#define FACET_KERNELS_MATMUL_BIG_TILE_CUDA_H_

#include "kernels/base/math.h"
#include "kernels/cuda/async_copy.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/tensor_core.h"
#include "kernels/matmul/big_tile_cuda_plan.h"

namespace facet {
namespace FACET_CUDA {

// One tile's share of a product.
struct BigTile {
  const BF16* w = nullptr;   // [n, k]
  const BF16* up = nullptr;  // [n, k], of a gated product
  int64_t w_stride = 0;      // elements
  const BF16* x = nullptr;
  int64_t x_stride = 0;
  // Rows of x: those of the list, or those from x on.
  const int32_t* rows_of_x = nullptr;
  int rows = 0;              // 1 to kBigTileX
  int64_t first_column = 0;  // of the results
  int64_t n = 0, k = 0;
};

// Copies chunks of a tile's rows to shared memory. What lies behind k is zero;
// what belongs to no result is left as it was or repeats the last row.
template <int kWarpsW, bool kGated>
class BigTileCopies {
 public:
  __device__ BigTileCopies(const BigTile& tile, unsigned char* shared)
      : tile_(tile),
        shared_(shared),
        rows_(reinterpret_cast<int32_t*>(shared + kStagesBytes)),
        first_(static_cast<int>(threadIdx.x) / kPiecesPerChunk),
        piece_(static_cast<int>(threadIdx.x) % kPiecesPerChunk) {
    const int64_t column = tile.first_column + BigRowOf(kGated, first_).offset;
    w_ = tile.w + column * tile.w_stride + piece_ * kElementsPerPiece;
    up_ = tile.up - tile.w;
    columns_ = static_cast<int>(tile.n - column);
    live_ = (tile.rows + kLiveRows - 1) / kLiveRows * kLiveRows;
    for (int i = static_cast<int>(threadIdx.x); i < kBigTileX; i += kThreads) {
      const int row = i < tile.rows ? i : tile.rows - 1;
      rows_[i] = tile.rows_of_x != nullptr ? tile.rows_of_x[row] : row;
    }
    __syncthreads();
  }

  __device__ void Start(int chunk) const {
    const int at = chunk * kChunk;
    if (at < tile_.k) {
      unsigned char* stage = shared_ + chunk % kStages * kBytes;
      const bool inside = at + piece_ * kElementsPerPiece < tile_.k;
#pragma unroll
      for (int i = 0; i < kW / kRowsAtOnce; ++i) {
        // A row that is kRowsAtOnce further is of a result that is as far from
        // the first, whatever the first.
        constexpr BigRow kFirst = BigRowOf(kGated, 0);
        const BigRow of = BigRowOf(kGated, i * kRowsAtOnce);
        const int further = of.offset - kFirst.offset;
        if (further >= columns_) continue;
        const BF16* from = w_ + further * tile_.w_stride + at;
        if (kGated && of.up) from += up_;
        CopyAsyncOrZero(stage + BigPlace(first_ + i * kRowsAtOnce, piece_),
                        from, inside);
      }
      constexpr int kRows = kBigTileX / kRowsAtOnce;
      int32_t rows[kRows];
#pragma unroll
      for (int i = 0; i < kRows; ++i) rows[i] = rows_[first_ + i * kRowsAtOnce];
#pragma unroll
      for (int i = 0; i < kRows; ++i) {
        const int row = first_ + i * kRowsAtOnce;
        if (row >= live_) continue;
        CopyAsyncOrZero(stage + BigPlace(kW + row, piece_),
                        tile_.x + rows[i] * tile_.x_stride +
                            (at + piece_ * kElementsPerPiece),
                        inside);
      }
    }
    CommitCopies();
  }

  static constexpr int kStages = BigTileStages(kWarpsW);
  static constexpr int kBytes = BigStageBytes(kWarpsW);

 private:
  static constexpr int kThreads = BigTileThreads(kWarpsW);
  static constexpr int kRowsAtOnce = BigTileRowsAtOnce(kWarpsW);
  static constexpr int kW = BigTileW(kWarpsW);
  static constexpr int kStagesBytes = kStages * kBytes;

  const BigTile& tile_;
  unsigned char* const shared_;
  int32_t* const rows_;
  const int first_, piece_;  // row and piece that this thread begins with
  const BF16* w_;            // of that row, and
  int64_t up_;               // from it to that of up
  int columns_;              // results from it on
  int live_;                 // rows of x to copy
};

// Computes a tile and gives every pair of neighbouring results to
// write(row of the tile's x, column, first, second): the sums, or with gates
// gelu(w x) * (up x). The second may lie behind n. The block has
// BigTileThreads() threads and BigTileSharedBytes() of shared memory.
//
// REQUIRES: CanBigTile(), and of x as of w; 0 < rows <= kBigTileX.
template <int kWarpsW, bool kGated, typename Write>
__device__ void ComputeBigTile(const BigTile& tile, Write write) {
  using Copies = BigTileCopies<kWarpsW, kGated>;
  constexpr int kStages = Copies::kStages;
  constexpr int kTilesW = kWarpRows / 16, kGroupsX = kWarpRows / kLiveRows;
  unsigned char* shared = SharedMemory<unsigned char>();
  const Copies copies(tile, shared);
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int warp_w = warp / kWarpsX, warp_x = warp % kWarpsX;
  const int live = LiveGroups(tile.rows, warp_x);
  const int64_t first_column =
      tile.first_column +
      int64_t{warp_w} * (kGated ? kWarpRows / 2 : kWarpRows);
  // Warps without results only copy.
  const bool works = live > 0 && first_column < tile.n;

  const BigLane of_w = LaneOfW(lane), of_x = LaneOfX(lane);
  const int row_w = warp_w * kWarpRows + of_w.row;
  const int row_x = BigTileW(kWarpsW) + warp_x * kWarpRows + of_x.row;
  uint32_t a[2][kTilesW][4], b[2][kGroupsX][4];
  const auto load = [&](const unsigned char* stage, int step) {
    // 16 rows further the piece is as far off as here.
    const unsigned char* w = stage + BigPlace(row_w, of_w.piece + 2 * step);
    const unsigned char* x = stage + BigPlace(row_x, of_x.piece + 2 * step);
#pragma unroll
    for (int i = 0; i < kTilesW; ++i) {
      LoadMatrices(w + i * 16 * kBigRowBytes, a[step % 2][i]);
    }
#pragma unroll
    for (int i = 0; i < kGroupsX; ++i) {
      if (i < live) LoadMatrices(x + i * 16 * kBigRowBytes, b[step % 2][i]);
    }
  };

  float sums[kTilesW][2 * kGroupsX][4] = {};
  const int chunks = static_cast<int>((tile.k + kChunk - 1) / kChunk);
  for (int chunk = 0; chunk < kStages - 1; ++chunk) copies.Start(chunk);
  for (int chunk = 0; chunk < chunks; ++chunk) {
    WaitForCopies<kStages - 2>();
    // Everyone's copies are there, and the stage read last is free.
    __syncthreads();
    copies.Start(chunk + kStages - 1);
    if (!works) continue;
    const unsigned char* stage = shared + chunk % kStages * Copies::kBytes;
    load(stage, 0);
#pragma unroll
    for (int step = 0; step < kChunk / 16; ++step) {
      if (step + 1 < kChunk / 16) load(stage, step + 1);
#pragma unroll
      for (int g = 0; g < kGroupsX; ++g) {
        if (g >= live) continue;
        const uint32_t(&pair)[4] = b[step % 2][g];
#pragma unroll
        for (int i = 0; i < kTilesW; ++i) {
          MultiplyAdd16x8x16(a[step % 2][i], {pair[0], pair[1]},
                             sums[i][2 * g]);
          MultiplyAdd16x8x16(a[step % 2][i], {pair[2], pair[3]},
                             sums[i][2 * g + 1]);
        }
      }
    }
  }
  if (!works) return;

  constexpr int kResults = kGated ? kTilesW / 2 : kTilesW;
#pragma unroll
  for (int g = 0; g < 2 * kGroupsX; ++g) {
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const int row = warp_x * kWarpRows + BigResultOf(0, g, i, lane).row;
      if (row >= tile.rows) continue;
#pragma unroll
      for (int t = 0; t < kResults; ++t) {
        const int64_t column = first_column + BigResultOf(t, g, i, lane).column;
        if (column >= tile.n) continue;
        float first = sums[t][g][i], second = sums[t][g][i + 2];
        if constexpr (kGated) {
          first = GeluTanh(first) * sums[t + kResults][g][i];
          second = GeluTanh(second) * sums[t + kResults][g][i + 2];
        }
        write(row, column, first, second);
      }
    }
  }
}

}  // namespace FACET_CUDA
}  // namespace facet

#endif  // FACET_KERNELS_MATMUL_BIG_TILE_CUDA_H_
