// The routed experts without a word to the host: the pairs of token and expert
// are grouped by expert (and a few tokens routed first), then blocks take
// (expert, tile) of the two products, and the weighted outputs are added token
// by token, with the norms of their sums behind.
#include <algorithm>

#include "kernels/base/check.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/operations.h"
#include "kernels/cuda/prefetch.h"
#include "kernels/experts/experts_cuda_plan.h"
#include "kernels/experts/experts_tensor_cuda.h"
#include "kernels/matmul/matmul_cuda.h"
#include "kernels/rms_norm/rms_norm_cuda.h"
#include "kernels/router/router_cuda.h"

namespace facet {
namespace FACET_CUDA {
namespace {

constexpr int kGroupThreads = 256;
// A warp each.
constexpr int kMostRoutedTokens = kGroupThreads / 32;

// Shared memory of a block that groups a chunk of choices: what each expert has
// before and in it, where its pairs begin, and the choices.
size_t GroupBytes(const ExpertPairs& pairs, int64_t choices) {
  const int64_t staged =
      choices < kChoicesTogether ? choices : int64_t{kChoicesTogether};
  return (2 * (pairs.experts + 1) + staged) * sizeof(int32_t);
}

// A chunk of choices in shared memory, as experts at hand; -1: not at hand.
struct Choices {
  int32_t first;
  int32_t count;
  int32_t* expert;

  __device__ int32_t CountOf(int32_t e) const {
    int32_t found = 0;
    for (int32_t i = 0; i < count; ++i) found += expert[i] == e;
    return found;
  }
};
__device__ Choices StageChoices(const ExpertPairs& pairs, const int32_t* chosen,
                                int64_t chunk, int32_t* to) {
  const int32_t all =
      static_cast<int32_t>(pairs.tokens) * pairs.experts_per_token;
  const int32_t first = static_cast<int32_t>(chunk) * kChoicesTogether;
  const int32_t left = all - first;
  const Choices choices = {
      first, left < kChoicesTogether ? left : kChoicesTogether, to};
  for (int32_t i = threadIdx.x; i < choices.count; i += blockDim.x) {
    const int32_t expert = chosen[first + i] - pairs.first_expert;
    const bool here = expert >= 0 && expert < pairs.experts &&
                      IsMine(pairs, (first + i) / pairs.experts_per_token);
    to[i] = here ? expert : -1;
  }
  __syncthreads();
  return choices;
}

// Groups chunk `chunk` of `chunks`: thread e lists its pairs of expert e behind
// those of lower experts and of earlier chunks, in rising token, and writes
// where each pair of a token went. With several chunks pairs.counts are known.
__device__ void GroupChunk(const ExpertPairs& pairs, const int32_t* chosen,
                           const float* weights, int64_t chunk, int64_t chunks,
                           int tile_rows) {
  int32_t* before = SharedMemory<int32_t>();  // [experts], in earlier chunks
  int32_t* begin = before + pairs.experts + 1;
  const Choices choices =
      StageChoices(pairs, chosen, chunk, begin + pairs.experts + 1);
  for (int32_t e = threadIdx.x; e < pairs.experts; e += blockDim.x) {
    int32_t earlier = 0, total = 0;
    if (chunks == 1) {
      total = choices.CountOf(e);
    } else {
      for (int64_t c = 0; c < chunks; ++c) {
        const int32_t count = pairs.counts[c * pairs.experts + e];
        if (c < chunk) earlier += count;
        total += count;
      }
    }
    before[e] = earlier;
    begin[e + 1] = total;
  }
  __syncthreads();
  if (threadIdx.x == 0) {
    begin[0] = 0;
    for (int32_t e = 0; e < pairs.experts; ++e) begin[e + 1] += begin[e];
  }
  __syncthreads();

  const int k = pairs.experts_per_token;
  for (int32_t i = threadIdx.x; i < choices.count; i += blockDim.x) {
    if (choices.expert[i] < 0) pairs.pair_of[choices.first + i] = -1;
  }
  for (int32_t e = threadIdx.x; e < pairs.experts; e += blockDim.x) {
    int32_t pair = begin[e] + before[e];
    if (begin[e] == begin[e + 1]) continue;
    for (int32_t i = 0; i < choices.count; ++i) {
      if (choices.expert[i] != e) continue;
      const int32_t choice = choices.first + i;
      pairs.rows[pair] = choice / k;
      pairs.weights[pair] = weights[choice];
      pairs.pair_of[choice] = pair++;
    }
  }
  if (chunk > 0) return;

  // One block tells where everything is.
  for (int32_t e = threadIdx.x; e <= pairs.experts; e += blockDim.x) {
    pairs.begin[e] = begin[e];
  }
  if (threadIdx.x != 0) return;
  int32_t active = 0, tiles = 0;
  for (int32_t e = 0; e < pairs.experts; ++e) {
    if (begin[e] == begin[e + 1]) continue;
    pairs.active[1 + active++] = e;
    if (tile_rows == 0) continue;
    const int32_t own = TilesOfExpert(begin[e + 1] - begin[e], tile_rows);
    for (int32_t i = 0; i < own; ++i) {
      pairs.tiles[tiles++] =
          ExpertTileAt(e, begin[e], begin[e + 1], i, tile_rows);
    }
  }
  pairs.active[0] = active;
  if (tile_rows > 0) *pairs.num_tiles = tiles;
}

// Of a chunk a block: its pairs of every expert.
__global__ void CountKernel(ExpertPairs pairs, const int32_t* chosen) {
  const Choices choices =
      StageChoices(pairs, chosen, blockIdx.x, SharedMemory<int32_t>());
  for (int32_t e = threadIdx.x; e < pairs.experts; e += blockDim.x) {
    pairs.counts[blockIdx.x * pairs.experts + e] = choices.CountOf(e);
  }
}

__global__ void GroupKernel(ExpertPairs pairs, const int32_t* chosen,
                            const float* weights, int tile_rows) {
  GroupChunk(pairs, chosen, weights, blockIdx.x, gridDim.x, tile_rows);
}

__global__ void RouteAndGroupKernel(RouterArgs router, ExpertPairs pairs) {
  const int64_t t = threadIdx.x / 32;
  if (t < router.tokens) {
    RouteToken(router, t,
               SharedMemory<unsigned char>() + t * RouterBytes(router));
  }
  __syncthreads();
  GroupChunk(pairs, router.chosen, router.weights, 0, 1, 0);
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

// Weights stream by once for every eight pairs of an expert, which is as fast
// as memory while an expert has few. In fast mode nothing is rounded here: it
// would cost more than it saves.
void StreamExperts(const ExpertsArgs& args, const ExpertPairs& pairs,
                   bool rounded, KernelLine& line) {
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
  gated.bf16_inputs = rounded;
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
  down.bf16_inputs = rounded;
  down.y = pairs.output;
  down.y_stride = args.hidden;
  Launch(ExpertKernel, dim3(active, static_cast<unsigned>(TilesOf(down))),
         dim3(kMatmulThreads), kStreamSharedBytes, line, pairs, down,
         args.hidden * args.down_stride, false);
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

__global__ void CombineAndNormKernel(ExpertSums sums, NormChain chain,
                                     WeightsAhead ahead) {
  if (FetchesAhead(ahead, static_cast<unsigned>(sums.tokens))) return;
  CombineToken(sums, blockIdx.x, SharedMemory<int32_t>());
  __syncthreads();  // the sums are there, and shared memory is free
  NormRow(chain, blockIdx.x, SharedMemory<float>());
}

}  // namespace

size_t ExpertsScratchBytes(int64_t tokens, int experts_per_token,
                           int64_t experts, int64_t hidden, int64_t width,
                           bool fast) {
  return PlaceExpertPairs(nullptr, tokens, experts_per_token, experts, hidden,
                          width, fast ? kBigTileX : 0)
      .bytes;
}

ExpertSums ExpertOutputs(const ExpertsArgs& args, const RouterArgs* router,
                         bool fast, void* scratch, KernelLine& line) {
  ExpertSums sums;
  if (args.tokens == 0) return sums;
  const bool on_tensor_cores =
      fast && ExpertsUseTensorCores(args, MostSharedBytes());
  const int tile_rows = on_tensor_cores ? kBigTileX : 0;
  ExpertPairs pairs =
      PlaceExpertPairs(scratch, args.tokens, args.experts_per_token,
                       args.experts, args.hidden, args.width, tile_rows);
  pairs.first_expert = static_cast<int32_t>(args.first_expert);
  pairs.replicas = args.replicas;
  pairs.replica = args.replica;
  const int64_t choices = args.tokens * args.experts_per_token;
  const size_t group_bytes = GroupBytes(pairs, choices);
  if (router != nullptr && router->tokens <= kMostRoutedTokens &&
      choices <= kChoicesTogether && tile_rows == 0) {
    Launch(RouteAndGroupKernel, dim3(1), dim3(kGroupThreads),
           std::max<size_t>(group_bytes, router->tokens * RouterBytes(*router)),
           line, *router, pairs);
  } else {
    if (router != nullptr) Router(*router, line);
    const dim3 chunks(static_cast<unsigned>(ChoiceChunks(choices)));
    if (chunks.x > 1) {
      Launch(CountKernel, chunks, dim3(kGroupThreads), group_bytes, line, pairs,
             args.chosen);
    }
    Launch(GroupKernel, chunks, dim3(kGroupThreads), group_bytes, line, pairs,
           args.chosen, args.weights, tile_rows);
  }
  if (on_tensor_cores) {
    TensorExperts(args, pairs, line);
  } else {
    StreamExperts(args, pairs, /*rounded=*/args.bf16_inputs && !fast, line);
  }

  sums.tokens = args.tokens;
  sums.pairs = pairs;
  sums.chosen = args.chosen;
  sums.experts_per_shard = args.experts_per_shard;
  sums.hidden = args.hidden;
  sums.y = args.y;
  return sums;
}

void AddExperts(const ExpertSums& sums, absl::Span<const RmsNormArgs> norms,
                const WeightsAhead& ahead, KernelLine& line) {
  const unsigned tokens = static_cast<unsigned>(sums.tokens);
  if (norms.empty()) {
    Launch(CombineKernel, dim3(tokens), dim3(kNormThreads), CombineBytes(sums),
           line, sums);
    return;
  }
  FACET_CHECK(norms[0].rows == sums.tokens);
  const NormChain chain = ChainOf(norms);
  Launch(CombineAndNormKernel, dim3(tokens + BlocksAhead(ahead, kNormThreads)),
         dim3(kNormThreads), std::max(CombineBytes(sums), chain.shared_bytes()),
         line, sums, chain, ahead);
}

}  // namespace FACET_CUDA
}  // namespace facet
