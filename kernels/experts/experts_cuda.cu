// The routed experts without a word to the host: one block groups the pairs of
// token and expert (and routes a few tokens first), then blocks take (expert,
// tile) of the two products, and the weighted outputs are added token by token,
// with the norms of their sums behind.
#include <algorithm>

#include "kernels/base/check.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/operations.h"
#include "kernels/experts/experts_cuda_plan.h"
#include "kernels/matmul/matmul_cuda.h"
#include "kernels/rms_norm/rms_norm_cuda.h"
#include "kernels/router/router_cuda.h"

namespace facet {
namespace FACET_CUDA {
namespace {

constexpr int kGroupThreads = 256;
// A warp each.
constexpr int kMostRoutedTokens = kGroupThreads / 32;

// Thread e lists the pairs of expert e, in rising token, then all of them write
// where each pair of a token went.
__device__ void GroupPairs(const ExpertPairs& pairs, const int32_t* chosen,
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

__global__ void GroupKernel(ExpertPairs pairs, const int32_t* chosen,
                            const float* weights) {
  GroupPairs(pairs, chosen, weights);
}

__global__ void RouteAndGroupKernel(RouterArgs router, ExpertPairs pairs) {
  const int64_t t = threadIdx.x / 32;
  if (t < router.tokens) {
    RouteToken(router, t,
               SharedMemory<unsigned char>() + t * RouterBytes(router));
  }
  __syncthreads();
  GroupPairs(pairs, router.chosen, router.weights);
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

// Token `t` by a block; `order` holds CombineBytes().
__device__ void CombineToken(const ExpertSums& sums, int64_t t,
                             int32_t* order) {
  const ExpertPairs& pairs = sums.pairs;
  const int64_t hidden = sums.hidden;
  const int k = pairs.experts_per_token;
  // This token's pairs at hand in rising expert.
  int32_t* shards = order + k;  // [K]
  int32_t* count = shards + k;
  if (threadIdx.x == 0) {
    *count = SortPairs(pairs, sums.chosen + t * k, t, sums.experts_per_shard,
                       order, shards);
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
    sums.y[t * hidden + d] = tree.Total();
  }
}

size_t CombineBytes(const ExpertSums& sums) {
  return (2 * sums.pairs.experts_per_token + 1) * sizeof(int32_t);
}

__global__ void CombineKernel(ExpertSums sums) {
  CombineToken(sums, blockIdx.x, SharedMemory<int32_t>());
}

__global__ void CombineAndNormKernel(ExpertSums sums, NormChain chain) {
  CombineToken(sums, blockIdx.x, SharedMemory<int32_t>());
  __syncthreads();  // the sums are there, and shared memory is free
  NormRow(chain, blockIdx.x, SharedMemory<float>());
}

}  // namespace

size_t ExpertsScratchBytes(int64_t tokens, int experts_per_token,
                           int64_t experts, int64_t hidden, int64_t width) {
  return PlaceExpertPairs(nullptr, tokens, experts_per_token, experts, hidden,
                          width)
      .bytes;
}

ExpertSums ExpertOutputs(const ExpertsArgs& args, const RouterArgs* router,
                         void* scratch, KernelLine& line) {
  ExpertSums sums;
  if (args.tokens == 0) return sums;
  ExpertPairs pairs =
      PlaceExpertPairs(scratch, args.tokens, args.experts_per_token,
                       args.experts, args.hidden, args.width);
  pairs.first_expert = static_cast<int32_t>(args.first_expert);
  pairs.replicas = args.replicas;
  pairs.replica = args.replica;
  const size_t group_bytes = args.experts * sizeof(int32_t);
  if (router != nullptr && router->tokens <= kMostRoutedTokens) {
    Launch(RouteAndGroupKernel, dim3(1), dim3(kGroupThreads),
           std::max<size_t>(group_bytes, router->tokens * RouterBytes(*router)),
           line, *router, pairs);
  } else {
    if (router != nullptr) Router(*router, line);
    Launch(GroupKernel, dim3(1), dim3(kGroupThreads), group_bytes, line, pairs,
           args.chosen, args.weights);
  }

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

  sums.tokens = args.tokens;
  sums.pairs = pairs;
  sums.chosen = args.chosen;
  sums.experts_per_shard = args.experts_per_shard;
  sums.hidden = args.hidden;
  sums.y = args.y;
  return sums;
}

void AddExperts(const ExpertSums& sums, absl::Span<const RmsNormArgs> norms,
                KernelLine& line) {
  const dim3 grid(static_cast<unsigned>(sums.tokens));
  if (norms.empty()) {
    Launch(CombineKernel, grid, dim3(kNormThreads), CombineBytes(sums), line,
           sums);
    return;
  }
  FACET_CHECK(norms[0].rows == sums.tokens);
  const NormChain chain = ChainOf(norms);
  Launch(CombineAndNormKernel, grid, dim3(kNormThreads),
         std::max(CombineBytes(sums), chain.shared_bytes()), line, sums, chain);
}

}  // namespace FACET_CUDA
}  // namespace facet
