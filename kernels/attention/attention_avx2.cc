#include "kernels/attention/attention_simd.h"

namespace facet {

void AttentionSplitAvx2(const AttentionArgs& args, const AttentionTask& task,
                        const AttentionState& state) {
  FACET_SIMD::Split(args, task, state);
}

void AttentionScoreAvx2(const AttentionArgs& args, const AttentionTask& task,
                        float* scores) {
  FACET_SIMD::Score(args, task, scores);
}

void AttentionValuesAvx2(const AttentionArgs& args, const AttentionTask& task,
                         const float* scores, int column_begin, int column_end,
                         const AttentionState& state) {
  FACET_SIMD::Values(args, task, scores, column_begin, column_end, state);
}

void AttentionMergeAvx2(int rows, int head_dim, const AttentionState& total,
                        const AttentionState& next) {
  FACET_SIMD::Merge(rows, head_dim, total, next);
}

void AttentionFinishAvx2(const AttentionArgs& args, const AttentionTask& task,
                         const AttentionState& state) {
  FACET_SIMD::Finish(args, task, state);
}

}  // namespace facet
