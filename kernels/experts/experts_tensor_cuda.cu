// A grid over all tiles that the pairs of a step may make; blocks learn on the
// device how many there are, and of which expert theirs is. Neighbouring blocks
// have the same expert and pairs, so weights and inputs come from memory once.
#include "kernels/cuda/launch.h"
#include "kernels/cuda/operations.h"
#include "kernels/experts/experts_tensor_cuda.h"
#include "kernels/matmul/big_tile_cuda.h"

namespace facet {
namespace FACET_CUDA {
namespace {

// Warps along w. The gated product goes over all of hidden, long enough to fill
// four stages and be worth the larger tile; the one down has a third of that
// and gains more by a second block on its SM.
constexpr int kGatedWarps = 4;
constexpr int kDownWarps = 2;

// One product of all experts: matrices of [n, k] `expert_stride` elements
// apart.
struct GroupedProduct {
  const BF16* w = nullptr;
  int64_t up_offset = 0;  // from a row of w to that of up, elements
  int64_t expert_stride = 0;
  int64_t w_stride = 0;
  int64_t n = 0, k = 0;
  const BF16* x = nullptr;  // rows of k
  void* y = nullptr;        // rows of n
};

__device__ inline BigTile TileOf(const GroupedProduct& product,
                                 const ExpertTile& at, int columns) {
  BigTile tile;
  tile.w = product.w + at.expert * product.expert_stride;
  tile.up = tile.w + product.up_offset;
  tile.w_stride = product.w_stride;
  tile.x = product.x;
  tile.x_stride = product.k;
  tile.rows = at.count;
  tile.first_column = static_cast<int64_t>(blockIdx.x) * columns;
  tile.n = product.n;
  tile.k = product.k;
  return tile;
}

// Rows of x are tokens; rows of y, in bf16, pairs.
template <int kWarps>
__global__ void __launch_bounds__(BigTileThreads(kWarps), kWarps <= 2 ? 2 : 1)
    GatedExpertsKernel(ExpertPairs pairs, GroupedProduct product) {
  if (static_cast<int32_t>(blockIdx.y) >= *pairs.num_tiles) return;
  const ExpertTile at = pairs.tiles[blockIdx.y];
  BigTile tile = TileOf(product, at, BigTileColumns(kWarps, true));
  tile.rows_of_x = pairs.rows + at.first;
  BF16* y = static_cast<BF16*>(product.y) + at.first * product.n;
  ComputeBigTile<kWarps, true>(
      tile, [&](int row, int64_t column, float first, float second) {
        // n is even.
        *reinterpret_cast<uint32_t*>(y + row * product.n + column) =
            PackBF16(first, second);
      });
}

// Rows of x and y are pairs.
__global__ void __launch_bounds__(BigTileThreads(kDownWarps), 2)
    DownExpertsKernel(ExpertPairs pairs, GroupedProduct product) {
  if (static_cast<int32_t>(blockIdx.y) >= *pairs.num_tiles) return;
  const ExpertTile at = pairs.tiles[blockIdx.y];
  BigTile tile = TileOf(product, at, BigTileColumns(kDownWarps, false));
  tile.x += at.first * product.k;
  float* y = static_cast<float*>(product.y) + at.first * product.n;
  ComputeBigTile<kDownWarps, false>(tile, [&](int row, int64_t column,
                                              float first, float second) {
    *reinterpret_cast<float2*>(y + row * product.n + column) = {first, second};
  });
}

dim3 GridOf(const ExpertPairs& pairs, int64_t n, int columns) {
  const int64_t most = pairs.tokens * pairs.experts_per_token;
  return dim3(
      static_cast<unsigned>((n + columns - 1) / columns),
      static_cast<unsigned>(MostExpertTiles(most, pairs.experts, kBigTileX)));
}

template <int kWarps>
void LaunchGated(const ExpertPairs& pairs, const GroupedProduct& gated,
                 KernelLine& line) {
  Launch(GatedExpertsKernel<kWarps>,
         GridOf(pairs, gated.n, BigTileColumns(kWarps, true)),
         dim3(BigTileThreads(kWarps)), BigTileSharedBytes(kWarps), line, pairs,
         gated);
}

}  // namespace

void TensorExperts(const ExpertsArgs& args, const ExpertPairs& pairs,
                   KernelLine& line) {
  RoundRowsArgs round;
  round.rows = args.tokens;
  round.width = round.x_stride = args.hidden;
  round.x = args.x;
  round.y = pairs.rounded;
  RoundRows(round, line);

  GroupedProduct gated;
  gated.w = static_cast<const BF16*>(args.gate_up);
  gated.up_offset = args.width * args.gate_up_stride;
  gated.expert_stride = 2 * gated.up_offset;
  gated.w_stride = args.gate_up_stride;
  gated.n = args.width;
  gated.k = args.hidden;
  gated.x = pairs.rounded;
  gated.y = pairs.activated;
  if (BigTileSharedBytes(kGatedWarps) <= MostSharedBytes()) {
    LaunchGated<kGatedWarps>(pairs, gated, line);
  } else {
    LaunchGated<2>(pairs, gated, line);
  }

  GroupedProduct down;
  down.w = static_cast<const BF16*>(args.down);
  down.expert_stride = args.hidden * args.down_stride;
  down.w_stride = args.down_stride;
  down.n = args.hidden;
  down.k = args.width;
  down.x = reinterpret_cast<const BF16*>(pairs.activated);
  down.y = pairs.output;
  Launch(DownExpertsKernel,
         GridOf(pairs, down.n, BigTileColumns(kDownWarps, false)),
         dim3(BigTileThreads(kDownWarps)), BigTileSharedBytes(kDownWarps), line,
         pairs, down);
}

}  // namespace FACET_CUDA
}  // namespace facet
