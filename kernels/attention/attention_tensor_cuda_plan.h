// Who does what in attention on tensor cores; arithmetic alone, for both sides.
#ifndef FACET_KERNELS_ATTENTION_ATTENTION_TENSOR_CUDA_PLAN_H_
#define FACET_KERNELS_ATTENTION_ATTENTION_TENSOR_CUDA_PLAN_H_

#include "kernels/attention/attention.h"
#include "kernels/base/host_device.h"

namespace facet {

// A block takes up to four tiles of 16 query rows, and keys 32 at a time. Each
// of its four warps has eight of the keys for scores, and a quarter of the
// dimensions for values.
inline constexpr int kTensorAttentionThreads = 128;
inline constexpr int kTileRows = 16;

// Goes by the shape alone, never by the number of tokens.
inline bool AttentionUsesTensorCores(const AttentionArgs& args) {
  return args.bf16_inputs && args.kv_dtype == DType::kBF16 &&
         (args.head_dim == 64 || args.head_dim == 256 || args.head_dim == 512);
}

// Query rows that an item may have: sums of all of them stay in registers.
inline int TensorAttentionRows(int head_dim) {
  return head_dim <= 256 ? 4 * kTileRows : 2 * kTileRows;
}

// Tiles of items of up to `rows` rows: 1, 2 or 4.
inline int TensorAttentionTiles(int rows) {
  return rows <= kTileRows ? 1 : rows <= 2 * kTileRows ? 2 : 4;
}

// Where things lie in shared memory, in bytes. Padding lets the eight rows that
// are read together meet different banks.
struct TensorAttentionLayout {
  int row_bytes = 0;  // of q, k, v
  int q = 0, k = 0, v = 0;
  int scores = 0;   // f32 [rows, kScoreStride]
  int weights = 0;  // bf16 [rows, kWeightRowBytes]
  int rescale = 0, m = 0, l = 0, total_m = 0, total_l = 0;  // f32 [rows]
  int bytes = 0;
};
inline constexpr int kScoreStride = kAttentionBlock + 4;          // floats
inline constexpr int kWeightRowBytes = 2 * kAttentionBlock + 16;  // bytes

FACET_HOST_DEVICE constexpr TensorAttentionLayout LayoutOf(int tiles,
                                                           int head_dim) {
  const int rows = tiles * kTileRows;
  TensorAttentionLayout at;
  at.row_bytes = 2 * head_dim + 16;
  at.k = at.q + rows * at.row_bytes;
  at.v = at.k + kAttentionBlock * at.row_bytes;
  at.scores = at.v + kAttentionBlock * at.row_bytes;
  at.weights = at.scores + rows * kScoreStride * 4;
  at.rescale = at.weights + rows * kWeightRowBytes;
  at.m = at.rescale + rows * 4;
  at.l = at.m + rows * 4;
  at.total_m = at.l + rows * 4;
  at.total_l = at.total_m + rows * 4;
  at.bytes = at.total_l + rows * 4;
  return at;
}

// The row and the column, in a tile of 16 x 16 values, of the eight that lane
// `lane` names for a load of four 8 x 8 matrices: the lower left one is the
// second, as fragments of a have them.
struct TilePlace {
  int row = 0;
  int column = 0;
};
FACET_HOST_DEVICE constexpr TilePlace PlaceOfLane(int lane) {
  return {lane % 8 + lane / 8 % 2 * 8, lane / 16 * 8};
}

}  // namespace facet

#endif  // FACET_KERNELS_ATTENTION_ATTENTION_TENSOR_CUDA_PLAN_H_
