// Who attends to what on a device: arithmetic and lists, made on the host once
// a step for each kind of layer, and read by kernels.
#ifndef FACET_KERNELS_ATTENTION_ATTENTION_CUDA_PLAN_H_
#define FACET_KERNELS_ATTENTION_ATTENTION_CUDA_PLAN_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "kernels/attention/attention.h"
#include "kernels/base/host_device.h"

namespace facet {

// Query rows of one work item, heads of one KV head times tokens, where there
// are no tensor cores for them.
inline constexpr int kDeviceAttentionRows = 8;
inline constexpr int kSplitBlocks = kAttentionSplit / kAttentionBlock;

struct DeviceSequence {
  int64_t q_offset = 0;  // elements from the first sequence's q
  int64_t y_offset = 0;
  int64_t first_position = 0;
  int64_t pages_begin = 0;  // in the joint array of pages
  int64_t first_page = 0;
};

// Some query rows over a run of splits.
struct AttentionItem {
  int32_t sequence = 0;
  int32_t kv_head = 0;
  int32_t first_head = 0;
  int32_t heads = 0;
  int32_t token_begin = 0;
  int32_t tokens = 0;
  int32_t split_begin = 0;
  int32_t split_end = 0;
  int32_t state = -1;  // where its state is kept; -1: it writes y itself
};

// Items [item, item + count) are the splits of the same rows, in order.
struct AttentionMerge {
  int32_t item = 0;
  int32_t count = 0;
};

struct AttentionPlan {
  std::vector<DeviceSequence> sequences;
  std::vector<int32_t> pages;
  std::vector<AttentionItem> items;
  std::vector<AttentionMerge> merges;
  int rows_per_item = 0;  // at most
  int most_rows = 0;      // of any item
  int64_t states = 0;     // kept ones, of rows_per_item rows each
};

// The plan's arrays, wherever they lie.
struct AttentionLaunch {
  const DeviceSequence* sequences = nullptr;
  const int32_t* pages = nullptr;
  const AttentionItem* items = nullptr;
  const AttentionMerge* merges = nullptr;
  int64_t num_items = 0;
  int64_t num_merges = 0;
  int rows_per_item = 0;
  int most_rows = 0;
};

// Most states that a plan keeps, and the floats of one, of items of
// kDeviceAttentionRows; of items of more rows it keeps fewer.
inline constexpr int64_t kMostAttentionStates = 4096;
inline int64_t AttentionStateFloats(int head_dim) {
  return int64_t{kDeviceAttentionRows} * (head_dim + 2);
}

// Sequences differ in tokens, positions, pages, q and y alone. Rows with
// several splits are spread over items while that keeps the device busier; no
// bit depends on it.
AttentionPlan PlanAttention(absl::Span<const AttentionArgs> sequences);

// First and last key block of `split` that tokens [first, last] of a sequence
// see any key of: keys [begin, end).
struct KeyRange {
  int64_t begin = 0;
  int64_t end = 0;
};
FACET_HOST_DEVICE inline KeyRange KeysOfSplit(int64_t first_position,
                                              int64_t last_position,
                                              int64_t window, int64_t split) {
  const int64_t seen = window > 0 && first_position - window + 1 > 0
                           ? first_position - window + 1
                           : 0;
  const int64_t block = seen / kAttentionBlock * kAttentionBlock;
  KeyRange keys = {split * kAttentionSplit, (split + 1) * kAttentionSplit};
  if (keys.begin < block) keys.begin = block;
  if (keys.end > last_position + 1) keys.end = last_position + 1;
  return keys;
}

// Keys [lo, hi) of the 32 at `block` that a token at `position` sees; none when
// lo >= hi.
struct SeenKeys {
  int lo = 0;
  int hi = 0;
};
FACET_HOST_DEVICE inline SeenKeys SeenInBlock(int64_t position, int64_t window,
                                              int64_t block) {
  const int64_t start = window > 0 ? position - window + 1 : 0;
  const int64_t lo = start > block ? start - block : 0;
  const int64_t hi = position + 1 - block;
  return {static_cast<int>(lo < kAttentionBlock ? lo : kAttentionBlock),
          static_cast<int>(hi < 0                 ? 0
                           : hi < kAttentionBlock ? hi
                                                  : kAttentionBlock)};
}

}  // namespace facet

#endif  // FACET_KERNELS_ATTENTION_ATTENTION_CUDA_PLAN_H_
