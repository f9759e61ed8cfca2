// The best logits of rows, so that a few candidates travel to the host instead
// of a row.
#include <algorithm>

#include "kernels/base/check.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/operations.h"
#include "kernels/sampling/top_logits_cuda_plan.h"

namespace facet {
namespace FACET_CUDA {
namespace {

// Keys of a round, by row: made of logits in the first, left by the round
// before in later ones.
struct TopInput {
  const float* logits;
  const TopKey* keys;
  int64_t count;  // of a row
  int64_t stride;
};

__device__ inline TopKey KeyAt(const TopInput& input, int64_t row, int64_t i) {
  if (i >= input.count) return kNoKey;
  const int64_t at = row * input.stride + i;
  return input.logits == nullptr
             ? input.keys[at]
             : TopKeyOf(input.logits[at], static_cast<int32_t>(i));
}

// A block sorts a tile of one row and keeps its `kept` best.
__global__ void __launch_bounds__(kTopThreads)
    TopKernel(TopInput input, int kept, TopKey* out, int64_t out_stride) {
  TopKey* tile = SharedMemory<TopKey>();
  const int thread = static_cast<int>(threadIdx.x);
  const int64_t row = blockIdx.y;
  const int64_t first = static_cast<int64_t>(blockIdx.x) * kTopTile;
  for (int i = thread; i < kTopTile; i += kTopThreads) {
    tile[i] = KeyAt(input, row, first + i);
  }
  __syncthreads();
  for (int run = 2; run <= kTopTile; run *= 2) {
    for (int stride = run / 2; stride > 0; stride /= 2) {
      for (int p = thread; p < kTopTile / 2; p += kTopThreads) {
        const SortPair pair = SortPairAt(p, run, stride);
        const TopKey a = tile[pair.low], b = tile[pair.high];
        if ((a > b) == pair.rising) {
          tile[pair.low] = b;
          tile[pair.high] = a;
        }
      }
      __syncthreads();
    }
  }
  for (int i = thread; i < kept; i += kTopThreads) {
    out[row * out_stride + static_cast<int64_t>(blockIdx.x) * kept + i] =
        tile[i];
  }
}

}  // namespace

const TopKey* TopLogits(int64_t rows, int64_t width, const float* logits,
                        int count, void* scratch, KernelLine& line) {
  FACET_CHECK(count > 0 && count <= kMostDeviceTop);
  TopKey* halves[2];
  halves[0] = static_cast<TopKey*>(scratch);
  halves[1] = halves[0] + TopScratchKeys(rows, width);
  TopInput input = {logits, nullptr, width, width};
  for (int round = 0;; ++round) {
    TopKey* out = halves[round % 2];
    const int64_t blocks = TopBlocks(input.count);
    const int64_t left = blocks * count;
    Launch(TopKernel,
           dim3(static_cast<unsigned>(blocks), static_cast<unsigned>(rows)),
           dim3(kTopThreads), kTopTile * sizeof(TopKey), line, input, count,
           out, left);
    if (blocks == 1) return out;
    input = {nullptr, out, left, left};
  }
}

}  // namespace FACET_CUDA
}  // namespace facet
