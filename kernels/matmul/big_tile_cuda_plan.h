// Who does what in a product of many rows on tensor cores; arithmetic alone,
// for both sides.
//
// A block takes a tile: 64 rows of w for each of its kWarpsW warps along w, and
// 128 rows of x, in chunks of 64 elements of k. A warp holds the 64 x 64 sums
// of its rows of w and its half of the rows of x in registers. So a chunk's
// fragments are loaded 16 times and multiplied 32 times a step of 16 k, which
// shared memory keeps up with; and a byte from the second-level cache serves
// 64 operations with two warps along w, 85 with four.
#ifndef FACET_KERNELS_MATMUL_BIG_TILE_CUDA_PLAN_H_
#define FACET_KERNELS_MATMUL_BIG_TILE_CUDA_PLAN_H_

#include <cstdint>

#include "kernels/base/host_device.h"
#include "kernels/matmul/matmul_cuda_plan.h"

namespace facet {

// Rows of w and of x that a warp multiplies.
inline constexpr int kWarpRows = 64;
inline constexpr int kWarpsX = 2;
inline constexpr int kBigTileX = kWarpsX * kWarpRows;
// Rows of x that are multiplied or left out together.
inline constexpr int kLiveRows = 16;

// Of a block with `warps_w` warps along w.
FACET_HOST_DEVICE constexpr int BigTileW(int warps_w) {
  return warps_w * kWarpRows;
}
FACET_HOST_DEVICE constexpr int BigTileThreads(int warps_w) {
  return 32 * warps_w * kWarpsX;
}
// Rows of a stage that its threads copy at once, 16 bytes each.
FACET_HOST_DEVICE constexpr int BigTileRowsAtOnce(int warps_w) {
  return BigTileThreads(warps_w) / kPiecesPerChunk;
}
// Chunks on their way. With two warps along w an SM holds two blocks; with four
// it holds one, which has to hide more by itself.
FACET_HOST_DEVICE constexpr int BigTileStages(int warps_w) {
  return warps_w <= 2 ? 3 : 4;
}
// A row of a chunk takes 128 bytes, all banks once.
inline constexpr int kBigRowBytes = 2 * kChunk;
FACET_HOST_DEVICE constexpr int BigStageBytes(int warps_w) {
  return (BigTileW(warps_w) + kBigTileX) * kBigRowBytes;
}
// The stages, and which row of x each row of the tile is.
FACET_HOST_DEVICE constexpr int BigTileSharedBytes(int warps_w) {
  return BigTileStages(warps_w) * BigStageBytes(warps_w) + 4 * kBigTileX;
}

// Where 16 bytes of a chunk's row lie in a stage. Eight rows that are loaded
// together have the same piece in eight different banks of 16 bytes.
FACET_HOST_DEVICE constexpr int BigPlace(int row, int piece) {
  return row * kBigRowBytes + (piece ^ (row % 8)) * 16;
}

// The row and the piece of 8 k that lane `lane` names for the fragments of 16
// rows of w, and of 16 rows of x, at the first of two pieces.
struct BigLane {
  int row = 0;
  int piece = 0;
};
FACET_HOST_DEVICE constexpr BigLane LaneOfW(int lane) {
  return {lane % 16, lane / 16};
}
FACET_HOST_DEVICE constexpr BigLane LaneOfX(int lane) {
  return {lane % 8 + lane / 16 * 8, lane / 8 % 2};
}

// Which result a row of a stage is of: `offset` from the tile's first. Rows g
// and g + 8 of a fragment, which one lane holds, are neighbours, so that it
// writes both at once. With gates a warp has 32 of w and the same 32 of `up`.
struct BigRow {
  int offset = 0;
  bool up = false;
};
FACET_HOST_DEVICE constexpr BigRow BigRowOf(bool gated, int row) {
  const int neighbour = row % 8 * 2 + row / 8 % 2;
  if (!gated) return {row / 16 * 16 + neighbour, false};
  const int in_warp = row % kWarpRows;
  return {
      row / kWarpRows * (kWarpRows / 2) + in_warp % 32 / 16 * 16 + neighbour,
      in_warp >= 32};
}

// Results of a tile along w.
FACET_HOST_DEVICE constexpr int BigTileColumns(int warps_w, bool gated) {
  return gated ? BigTileW(warps_w) / 2 : BigTileW(warps_w);
}

// Of a warp's sums [tile of 16 rows of w][group of 8 rows of x][4]: the result
// from the warp's first column, and the row of x from the warp's first, of
// value `i` (0 or 1, or of the neighbouring column 2 or 3) of lane `lane`.
struct BigResult {
  int column = 0;
  int row = 0;
};
FACET_HOST_DEVICE constexpr BigResult BigResultOf(int tile, int group, int i,
                                                  int lane) {
  return {16 * tile + lane / 4 * 2 + i / 2, 8 * group + lane % 4 * 2 + i % 2};
}

// Groups of kLiveRows of warp `warp_x` that hold any of `rows` rows of x.
FACET_HOST_DEVICE constexpr int LiveGroups(int rows, int warp_x) {
  const int own = rows - warp_x * kWarpRows;
  const int groups = (own + kLiveRows - 1) / kLiveRows;
  return own <= 0                         ? 0
         : groups > kWarpRows / kLiveRows ? kWarpRows / kLiveRows
                                          : groups;
}

// Whether 16-byte copies and pairs of results reach everything.
FACET_HOST_DEVICE inline bool CanBigTile(const void* w, int64_t w_stride,
                                         int64_t n, int64_t k) {
  return reinterpret_cast<uintptr_t>(w) % 16 == 0 && w_stride % 8 == 0 &&
         k % 8 == 0 && n % 2 == 0;
}

}  // namespace facet

#endif  // FACET_KERNELS_MATMUL_BIG_TILE_CUDA_PLAN_H_
