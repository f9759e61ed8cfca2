// How a device finds the best of many logits: blocks sort tiles of keys and
// keep the best of each, round by round, until one tile is left. Arithmetic
// alone, for both sides.
#ifndef FACET_KERNELS_SAMPLING_TOP_LOGITS_CUDA_PLAN_H_
#define FACET_KERNELS_SAMPLING_TOP_LOGITS_CUDA_PLAN_H_

#include <cstddef>
#include <cstdint>

#include "kernels/base/host_device.h"
#include "kernels/sampling/falling_key.h"
#include "kernels/sampling/sampling.h"

namespace facet {

// Sorts rising with the best first and ties to the lower token.
using TopKey = uint64_t;
inline constexpr TopKey kNoKey = ~TopKey{0};

inline constexpr int kTopThreads = 256;
inline constexpr int kTopTile = 2048;  // keys, a power of two
// A quarter of a tile at most is kept, so that rounds are few.
static_assert(4 * kMostDeviceTop <= kTopTile);

FACET_HOST_DEVICE inline TopKey TopKeyOf(float logit, int32_t token) {
  if (logit != logit) return kNoKey;
  return TopKey{FallingKey(logit)} << 32 | static_cast<uint32_t>(token);
}

// Token -1 for kNoKey.
FACET_HOST_DEVICE inline TokenLogit TokenLogitOf(TopKey key) {
  if (key == kNoKey) return {-1, 0};
  return {static_cast<int32_t>(key & 0xffffffffu),
          LogitOfKey(static_cast<uint32_t>(key >> 32))};
}

// What pair `pair` of a tile compares in the step of a bitonic sort with runs
// of `run` keys and `stride` between the two.
struct SortPair {
  int low = 0;
  int high = 0;
  bool rising = true;
};
FACET_HOST_DEVICE inline SortPair SortPairAt(int pair, int run, int stride) {
  const int low = 2 * pair - (pair & (stride - 1));
  return {low, low + stride, (low & run) == 0};
}

// Blocks of one row in a round that starts with `keys`, which leaves `count` a
// block.
inline int64_t TopBlocks(int64_t keys) {
  return (keys + kTopTile - 1) / kTopTile;
}

// Keys of all rows that a round leaves at most.
inline int64_t TopScratchKeys(int64_t rows, int64_t width) {
  return rows * TopBlocks(width) * kMostDeviceTop;
}
// Two such arrays: rounds take turns.
inline size_t TopScratchBytes(int64_t rows, int64_t width) {
  return 2 * sizeof(TopKey) * static_cast<size_t>(TopScratchKeys(rows, width));
}

}  // namespace facet

#endif  // FACET_KERNELS_SAMPLING_TOP_LOGITS_CUDA_PLAN_H_
