// The routed experts without a word to the host: one block groups the pairs of
// token and expert, then blocks take (expert, tile) of the two products, and
// the weighted outputs are added token by token.
#include "kernels/base/check.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/operations.h"
#include "kernels/experts/experts_cuda_plan.h"
#include "kernels/matmul/matmul_cuda.h"

namespace facet {
namespace FACET_CUDA {
namespace {

constexpr int kGroupThreads = 256;
constexpr int kCombineThreads = 256;

// Thread e lists the pairs of expert e, in rising token, then all of them write
// where each pair of a token went.
__global__ void GroupKernel(ExpertPairs pairs, const int32_t* chosen,
                            const float* weights) {
  int32_t* counts = SharedMemory<int32_t>();  // [experts]
  const int k = pairs.experts_per_token;
  for (int e = threadIdx.x; e < pairs.experts; e += blockDim.x) {
    int32_t count = 0;
    for (int64_t i = 0; i < pairs.tokens * k; ++i) {
      if (!IsMine(pairs, i / k)) continue;
      count += chosen[i] - pairs.first_expert == e;
    }
    counts[e] = count;
  }
  __syncthreads();
  if (threadIdx.x == 0) {
    int32_t begin = 0, active = 0;
    for (int e = 0; e < pairs.experts; ++e) {
      pairs.begin[e] = begin;
      if (counts[e] > 0) pairs.active[1 + active++] = e;
      begin += counts[e];
    }
    pairs.begin[pairs.experts] = begin;
    pairs.active[0] = active;
  }
  for (int64_t i = threadIdx.x; i < pairs.tokens * k; i += blockDim.x) {
    pairs.pair_of[i] = -1;
  }
  __syncthreads();
  for (int e = threadIdx.x; e < pairs.experts; e += blockDim.x) {
    int32_t pair = pairs.begin[e];
    if (counts[e] == 0) continue;
    for (int64_t i = 0; i < pairs.tokens * k; ++i) {
      if (!IsMine(pairs, i / k) || chosen[i] - pairs.first_expert != e) {
        continue;
      }
      pairs.rows[pair] = static_cast<int32_t>(i / k);
      pairs.weights[pair] = weights[i];
      pairs.pair_of[i] = pair++;
    }
  }
}

// Product of one expert's pairs; `args` is that of expert 0 and of all pairs.
__device__ inline void ExpertTile(const ExpertPairs& pairs, MatmulArgs args,
                                  int64_t weight_stride, bool rows_are_tokens) {
  if (static_cast<int32_t>(blockIdx.x) >= pairs.active[0]) return;
  const int64_t e = pairs.active[1 + blockIdx.x];
  const int64_t begin = pairs.begin[e];
  args.m = pairs.begin[e + 1] - begin;
  const int64_t offset = e * weight_stride * SizeOf(args.w_dtype);
  args.w = static_cast<const unsigned char*>(args.w) + offset;
  if (args.up != nullptr) {
    args.up = static_cast<const unsigned char*>(args.up) + offset;
  }
  if (rows_are_tokens) {
    args.x_rows = pairs.rows + begin;
  } else {
    args.x += begin * args.x_stride;
  }
  args.y += begin * args.y_stride;
  if (!CanStream(args)) {
    AnyTile(args, blockIdx.y);
  } else if (args.bf16_inputs) {
    StreamTileOfAllRows<true>(args, blockIdx.y);
  } else {
    StreamTileOfAllRows<false>(args, blockIdx.y);
  }
}

__global__ void __launch_bounds__(kMatmulThreads)
    ExpertKernel(ExpertPairs pairs, MatmulArgs args, int64_t weight_stride,
                 bool rows_are_tokens) {
  ExpertTile(pairs, args, weight_stride, rows_are_tokens);
}

// A block per token.
__global__ void CombineKernel(ExpertPairs pairs, const int32_t* chosen,
                              int64_t experts_per_shard, int64_t hidden,
                              float* y) {
  const int64_t t = blockIdx.x;
  const int k = pairs.experts_per_token;
  // This token's pairs at hand in rising expert.
  int32_t* order = SharedMemory<int32_t>();  // [K]
  int32_t* shards = order + k;               // [K]
  int32_t* count = shards + k;
  if (threadIdx.x == 0) {
    *count =
        SortPairs(pairs, chosen + t * k, t, experts_per_shard, order, shards);
  }
  __syncthreads();
  for (int64_t d = threadIdx.x; d < hidden; d += blockDim.x) {
    ShardTree tree;
    for (int i = 0; i < *count;) {
      const int32_t shard = shards[i];
      // Products round before they are added; a sum starts at +0.
      float sum = 0.0f;
      for (; i < *count && shards[i] == shard; ++i) {
        const float product =
            pairs.weights[order[i]] *
            pairs.output[static_cast<int64_t>(order[i]) * hidden + d];
        sum = sum + product;
      }
      tree.Add(shard, sum);
    }
    y[t * hidden + d] = tree.Total();
  }
}

}  // namespace

size_t ExpertsScratchBytes(int64_t tokens, int experts_per_token,
                           int64_t experts, int64_t hidden, int64_t width) {
  return PlaceExpertPairs(nullptr, tokens, experts_per_token, experts, hidden,
                          width)
      .bytes;
}

void Experts(const ExpertsArgs& args, void* scratch, KernelLine& line) {
  if (args.tokens == 0) return;
  Matmuls(args.beside, line);
  ExpertPairs pairs =
      PlaceExpertPairs(scratch, args.tokens, args.experts_per_token,
                       args.experts, args.hidden, args.width);
  pairs.first_expert = static_cast<int32_t>(args.first_expert);
  pairs.replicas = args.replicas;
  pairs.replica = args.replica;
  Launch(GroupKernel, dim3(1), dim3(kGroupThreads),
         args.experts * sizeof(int32_t), line, pairs, args.chosen,
         args.weights);

  // No more experts than pairs have work.
  const int64_t most = args.tokens * args.experts_per_token;
  const unsigned active =
      static_cast<unsigned>(most < args.experts ? most : args.experts);
  MatmulArgs gated;
  gated.m = 1;
  gated.n = args.width;
  gated.k = args.hidden;
  gated.x = args.x;
  gated.x_stride = args.hidden;
  gated.w = args.gate_up;
  gated.w_dtype = args.gate_up_dtype;
  gated.w_stride = args.gate_up_stride;
  gated.up = static_cast<const unsigned char*>(args.gate_up) +
             args.width * args.gate_up_stride * SizeOf(args.gate_up_dtype);
  gated.bf16_inputs = args.bf16_inputs;
  gated.y = pairs.activated;
  gated.y_stride = args.width;
  Launch(ExpertKernel, dim3(active, static_cast<unsigned>(TilesOf(gated))),
         dim3(kMatmulThreads), kStreamSharedBytes, line, pairs, gated,
         2 * args.width * args.gate_up_stride, true);

  MatmulArgs down;
  down.m = 1;
  down.n = args.hidden;
  down.k = args.width;
  down.x = pairs.activated;
  down.x_stride = args.width;
  down.w = args.down;
  down.w_dtype = args.down_dtype;
  down.w_stride = args.down_stride;
  down.bf16_inputs = args.bf16_inputs;
  down.y = pairs.output;
  down.y_stride = args.hidden;
  Launch(ExpertKernel, dim3(active, static_cast<unsigned>(TilesOf(down))),
         dim3(kMatmulThreads), kStreamSharedBytes, line, pairs, down,
         args.hidden * args.down_stride, false);

  Launch(CombineKernel, dim3(static_cast<unsigned>(args.tokens)),
         dim3(kCombineThreads),
         (2 * args.experts_per_token + 1) * sizeof(int32_t), line, pairs,
         args.chosen, args.experts_per_shard, args.hidden, args.y);
}

}  // namespace FACET_CUDA
}  // namespace facet
