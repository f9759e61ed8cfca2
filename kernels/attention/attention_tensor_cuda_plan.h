// Who does what in attention on tensor cores; arithmetic alone, for both sides.
#ifndef FACET_KERNELS_ATTENTION_ATTENTION_TENSOR_CUDA_PLAN_H_
#define FACET_KERNELS_ATTENTION_ATTENTION_TENSOR_CUDA_PLAN_H_

#include "kernels/attention/attention.h"
#include "kernels/base/host_device.h"

namespace facet {

// A block of threads takes up to four tiles of 16 query rows, and one block of
// 32 keys at a time, or several. Each of its four warps has a quarter of the
// keys for scores, and a quarter of the dimensions for values.
inline constexpr int kTensorAttentionThreads = 128;
inline constexpr int kTileRows = 16;

// Blocks of keys at a time. One tile is what decoding has, of which a card runs
// few at once: each then has to have many keys on their way, 64 KiB of them and
// as much of values. Weights of the blocks are worked out one behind the other
// all the same, so how many there are shows in no bit.
FACET_HOST_DEVICE constexpr int TensorKeyBlocks(int tiles, int head_dim) {
  return tiles > 1 ? 1 : head_dim <= 256 ? 4 : 2;
}

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
  // Of every block of keys:
  int scores = 0;   // f32 [rows, kScoreStride]
  int weights = 0;  // bf16 [rows, kWeightRowBytes]
  int rescale = 0;  // f32 [rows]
  // Of all of them:
  int m = 0, l = 0, total_m = 0, total_l = 0;  // f32 [rows]
  int bytes = 0;
};
inline constexpr int kScoreStride = kAttentionBlock + 4;          // floats
inline constexpr int kWeightRowBytes = 2 * kAttentionBlock + 16;  // bytes

FACET_HOST_DEVICE constexpr TensorAttentionLayout LayoutOf(int tiles,
                                                           int head_dim,
                                                           int blocks) {
  const int rows = tiles * kTileRows;
  TensorAttentionLayout at;
  at.row_bytes = 2 * head_dim + 16;
  at.k = at.q + rows * at.row_bytes;
  at.v = at.k + blocks * kAttentionBlock * at.row_bytes;
  at.scores = at.v + blocks * kAttentionBlock * at.row_bytes;
  at.weights = at.scores + blocks * rows * kScoreStride * 4;
  at.rescale = at.weights + blocks * rows * kWeightRowBytes;
  at.m = at.rescale + blocks * rows * 4;
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
