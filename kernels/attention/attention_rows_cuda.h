// What kernels of attention share: the rows of an item, where their keys lie,
// and how splits are merged.
#ifndef FACET_KERNELS_ATTENTION_ATTENTION_ROWS_CUDA_H_
#define FACET_KERNELS_ATTENTION_ATTENTION_ROWS_CUDA_H_

#include "kernels/attention/attention.h"
#include "kernels/attention/attention_cuda_plan.h"
#include "kernels/base/kv_pages.h"
#include "kernels/base/math.h"
#include "kernels/cuda/launch.h"

namespace facet {
namespace FACET_CUDA {

// Not INFINITY: fast enough to write, and the same on both sides.
__device__ inline float MinusInfinity() { return -__builtin_huge_valf(); }

struct AttentionContext {
  AttentionArgs args;  // pointers of the first sequence
  AttentionLaunch launch;
  float* states;

  // Of row `row` of the item that keeps state `state`: m, l, then o.
  __device__ float* StateOf(int32_t state, int row) const {
    return states +
           (int64_t{state} * launch.rows_per_item + row) * (args.head_dim + 2);
  }
};

struct AttentionRows {
  AttentionItem item;
  DeviceSequence sequence;
  const int32_t* pages;
  int count;

  __device__ int64_t position(int row) const {
    return sequence.first_position + item.token_begin + row / item.heads;
  }
  __device__ int64_t element(const AttentionArgs& args, int64_t offset,
                             int64_t stride, int row) const {
    return offset + (item.token_begin + row / item.heads) * stride +
           static_cast<int64_t>(item.first_head + row % item.heads) *
               args.head_dim;
  }
};

__device__ inline AttentionRows RowsOf(const AttentionContext& context,
                                       int64_t index) {
  AttentionRows rows;
  rows.item = context.launch.items[index];
  rows.sequence = context.launch.sequences[rows.item.sequence];
  rows.pages = context.launch.pages + rows.sequence.pages_begin;
  rows.count = rows.item.heads * rows.item.tokens;
  return rows;
}

// The element of key `position` in k and v.
__device__ inline int64_t KeyElement(const AttentionArgs& args,
                                     const AttentionRows& rows,
                                     int64_t position) {
  const int64_t page =
      rows.pages[position / args.page_tokens - rows.sequence.first_page];
  return KvElement(args, page, rows.item.kv_head, position % args.page_tokens);
}

struct RowState {
  float m = 0;
  float l = 0;
};

// How a later split is added to a row, the same for each of its dimensions.
struct RowMerge {
  bool sees = false;  // the split has keys of the row
  float a = 0, b = 0;

  __device__ float operator()(float o, float next_o) const {
    return sees ? fmaf(o, a, next_o * b) : o;
  }
};

// Adds a later split to a row's state.
__device__ inline RowMerge MergeRow(RowState& total, RowState next) {
  if (next.l == 0) return {};
  const float m = total.m < next.m ? next.m : total.m;
  const float a = total.l == 0 ? 0.0f : Exp(total.m - m);
  const float b = Exp(next.m - m);
  total.l = fmaf(total.l, a, next.l * b);
  total.m = m;
  return {true, a, b};
}

}  // namespace FACET_CUDA
}  // namespace facet

#endif  // FACET_KERNELS_ATTENTION_ATTENTION_ROWS_CUDA_H_
