// The contract row by row, as a reader would write it.
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/attention/attention_variants.h"
#include "kernels/base/math.h"

namespace facet {
namespace {

constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

float At(const void* base, DType dtype, int64_t i) {
  return dtype == DType::kF32 ? static_cast<const float*>(base)[i]
                              : ToFloat(static_cast<const BF16*>(base)[i]);
}

float SumOfLanes(float* lanes) {
  for (int width = 8; width > 0; width /= 2) {
    for (int i = 0; i < width; ++i) lanes[i] += lanes[i + width];
  }
  return lanes[0];
}

// Where the score of row r and key `position` lies.
int64_t ScoreAt(const AttentionTask& task, int r, int64_t position) {
  const int64_t in_split = position % kAttentionSplit;
  return (in_split / kAttentionPanel * task.tokens * task.heads + r) *
             kAttentionPanel +
         in_split % kAttentionPanel;
}

int64_t PositionOf(const AttentionArgs& args, const AttentionTask& task,
                   int r) {
  return args.first_position + task.token_begin + r / task.heads;
}

}  // namespace

void AttentionScoreReference(const AttentionArgs& args,
                             const AttentionTask& task, float* scores) {
  const int dim = args.head_dim;
  for (int r = 0; r < task.tokens * task.heads; ++r) {
    const int64_t position = PositionOf(args, task, r);
    const float* q = args.q +
                     (task.token_begin + r / task.heads) * args.q_stride +
                     (task.first_head + r % task.heads) * int64_t{dim};
    for (int64_t block = task.key_begin; block < task.key_end;
         block += kAttentionBlock) {
      const VisibleKeys keys = VisibleInBlock(args, position, block);
      for (int j = keys.lo; j < keys.hi; ++j) {
        const int64_t key = KeyOffset(args, task.kv_head, block + j);
        float lanes[16] = {};
        for (int d = 0; d < dim; ++d) {
          lanes[d % 16] =
              std::fma(q[d], At(args.k, args.kv_dtype, key + d), lanes[d % 16]);
        }
        scores[ScoreAt(task, r, block + j)] = SumOfLanes(lanes);
      }
    }
  }
}

void AttentionValuesReference(const AttentionArgs& args,
                              const AttentionTask& task, const float* scores,
                              int column_begin, int column_end,
                              const AttentionState& state) {
  for (int r = 0; r < task.tokens * task.heads; ++r) {
    const int64_t position = PositionOf(args, task, r);
    float m = kMinusInfinity;
    float l = 0;
    float* o = state.o + int64_t{r} * args.head_dim;
    std::fill(o + column_begin, o + column_end, 0.0f);
    for (int64_t block = task.key_begin; block < task.key_end;
         block += kAttentionBlock) {
      const VisibleKeys keys = VisibleInBlock(args, position, block);
      if (keys.lo >= keys.hi) continue;
      const float* score = scores + ScoreAt(task, r, block);
      float largest = m;
      for (int j = keys.lo; j < keys.hi; ++j) {
        largest = std::max(largest, score[j]);
      }
      const float c = Exp(m - largest);
      float p[kAttentionBlock] = {};
      for (int j = keys.lo; j < keys.hi; ++j) p[j] = Exp(score[j] - largest);
      float lanes[16];
      for (int i = 0; i < 16; ++i) lanes[i] = p[i] + p[i + 16];
      l = std::fma(l, c, SumOfLanes(lanes));
      m = largest;
      for (int d = column_begin; d < column_end; ++d) {
        o[d] *= c;
        for (int j = keys.lo; j < keys.hi; ++j) {
          const int64_t key = KeyOffset(args, task.kv_head, block + j);
          o[d] = std::fma(p[j], At(args.v, args.kv_dtype, key + d), o[d]);
        }
      }
    }
    if (column_begin > 0) continue;
    state.m[r] = m;
    state.l[r] = l;
  }
}

void AttentionSplitReference(const AttentionArgs& args,
                             const AttentionTask& task,
                             const AttentionState& state) {
  std::vector<float> scores(AttentionScoreFloats(task.tokens * task.heads));
  AttentionScoreReference(args, task, scores.data());
  AttentionValuesReference(args, task, scores.data(), 0, args.head_dim, state);
}

void AttentionMergeReference(int rows, int head_dim,
                             const AttentionState& total,
                             const AttentionState& next) {
  for (int r = 0; r < rows; ++r) {
    if (next.l[r] == 0) continue;
    const float m = std::max(total.m[r], next.m[r]);
    const float a = total.l[r] == 0 ? 0.0f : Exp(total.m[r] - m);
    const float b = Exp(next.m[r] - m);
    total.l[r] = std::fma(total.l[r], a, next.l[r] * b);
    total.m[r] = m;
    for (int d = 0; d < head_dim; ++d) {
      float& o = total.o[r * head_dim + d];
      o = std::fma(o, a, next.o[r * head_dim + d] * b);
    }
  }
}

void AttentionFinishReference(const AttentionArgs& args,
                              const AttentionTask& task,
                              const AttentionState& state) {
  for (int r = 0; r < task.tokens * task.heads; ++r) {
    const int64_t token = task.token_begin + r / task.heads;
    const int head = task.first_head + r % task.heads;
    float* y = args.y + token * args.y_stride + head * args.head_dim;
    const float scale = 1.0f / state.l[r];
    for (int d = 0; d < args.head_dim; ++d) {
      y[d] = state.o[r * args.head_dim + d] * scale;
    }
  }
}

}  // namespace facet
