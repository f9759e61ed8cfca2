#include "kernels/attention/attention_simd.h"

namespace facet {

void AttentionSplitAvx512(const AttentionArgs& args, const AttentionTask& task,
                          const AttentionState& state) {
  FACET_SIMD::Split(args, task, state);
}

void AttentionMergeAvx512(int rows, int head_dim, const AttentionState& total,
                          const AttentionState& next) {
  FACET_SIMD::Merge(rows, head_dim, total, next);
}

void AttentionFinishAvx512(const AttentionArgs& args, const AttentionTask& task,
                           const AttentionState& state) {
  FACET_SIMD::Finish(args, task, state);
}

}  // namespace facet
