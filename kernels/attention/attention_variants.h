// The functions behind AttentionVariants(); private to this folder.
#ifndef FACET_KERNELS_ATTENTION_ATTENTION_VARIANTS_H_
#define FACET_KERNELS_ATTENTION_ATTENTION_VARIANTS_H_

#include "kernels/attention/attention.h"
#include "kernels/base/kv_pages.h"

namespace facet {

#define FACET_ATTENTION_VARIANT(isa)                                        \
  void AttentionSplit##isa(const AttentionArgs& args,                       \
                           const AttentionTask& task,                       \
                           const AttentionState& state);                    \
  void AttentionScore##isa(const AttentionArgs& args,                       \
                           const AttentionTask& task, float* scores);       \
  void AttentionValues##isa(const AttentionArgs& args,                      \
                            const AttentionTask& task, const float* scores, \
                            int column_begin, int column_end,               \
                            const AttentionState& state);                   \
  void AttentionMerge##isa(int rows, int head_dim,                          \
                           const AttentionState& total,                     \
                           const AttentionState& next);                     \
  void AttentionFinish##isa(const AttentionArgs& args,                      \
                            const AttentionTask& task,                      \
                            const AttentionState& state);

FACET_ATTENTION_VARIANT(Reference)
FACET_ATTENTION_VARIANT(Avx2)
FACET_ATTENTION_VARIANT(Avx512)

#undef FACET_ATTENTION_VARIANT

// Keys of the block at `block` that the token at `position` sees: [lo, hi) of
// kAttentionBlock.
struct VisibleKeys {
  int lo;
  int hi;
};
__attribute__((always_inline)) inline VisibleKeys VisibleInBlock(
    const AttentionArgs& args, int64_t position, int64_t block) {
  const int64_t start = args.window > 0 ? position - args.window + 1 : 0;
  const int64_t lo = start > block ? start - block : 0;
  const int64_t end = position + 1 - block;
  return {static_cast<int>(lo),
          static_cast<int>(end < kAttentionBlock ? end : kAttentionBlock)};
}

// The element offset of key `position` of `kv_head` in k and v.
__attribute__((always_inline)) inline int64_t KeyOffset(
    const AttentionArgs& args, int kv_head, int64_t position) {
  const int64_t index = position / args.page_tokens;
  const int64_t page = args.pages[index - args.first_page];
  return KvElement(args, page, kv_head, position % args.page_tokens);
}

}  // namespace facet

#endif  // FACET_KERNELS_ATTENTION_ATTENTION_VARIANTS_H_
