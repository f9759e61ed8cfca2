// Products of many rows of inputs that are rounded once, in large tiles on
// tensor cores. A segment of a result is the same run of 16-wide products as in
// kernels/matmul/matmul_tensor_cuda.h, and segments are added along the
// contract's tree, so the bits are too.
#include "kernels/cuda/launch.h"
#include "kernels/cuda/operations.h"
#include "kernels/matmul/big_products_cuda_plan.h"
#include "kernels/matmul/big_tile_cuda.h"

namespace facet {
namespace FACET_CUDA {
namespace {

struct BigProblem {
  BigTile whole;  // all rows of x, a segment's k
  int64_t rows = 0;
  int64_t tiles_w = 0, tiles_x = 0;
  float* y = nullptr;
  int64_t y_stride = 0;
  int64_t segment_stride = 0;  // of y
};

template <int kWarpsW, bool kGated>
__global__ void __launch_bounds__(BigTileThreads(kWarpsW), kWarpsW <= 2 ? 2 : 1)
    BigKernel(BigProblem problem) {
  const BigPosition at =
      BigPositionOf(blockIdx.x, problem.tiles_w, problem.tiles_x);
  const int64_t segment = blockIdx.y;
  const int64_t first = at.x * kBigTileX;
  BigTile tile = problem.whole;
  tile.w += segment * tile.k;
  tile.x += first * tile.x_stride + segment * tile.k;
  tile.rows = static_cast<int>(
      problem.rows - first < kBigTileX ? problem.rows - first : kBigTileX);
  tile.first_column = at.w * BigTileColumns(kWarpsW, kGated);
  float* y =
      problem.y + segment * problem.segment_stride + first * problem.y_stride;
  ComputeBigTile<kWarpsW, kGated>(
      tile, [&](int row, int64_t column, float one, float two) {
        // n is even.
        *reinterpret_cast<float2*>(y + row * problem.y_stride + column) = {one,
                                                                           two};
      });
}

template <int kWarpsW, bool kGated>
void LaunchBig(BigProblem problem, int segments, KernelLine& line) {
  constexpr int kColumns = BigTileColumns(kWarpsW, kGated);
  problem.tiles_w = (problem.whole.n + kColumns - 1) / kColumns;
  problem.tiles_x = (problem.rows + kBigTileX - 1) / kBigTileX;
  Launch(BigKernel<kWarpsW, kGated>,
         dim3(static_cast<unsigned>(problem.tiles_w * problem.tiles_x),
              static_cast<unsigned>(segments)),
         dim3(BigTileThreads(kWarpsW)), BigTileSharedBytes(kWarpsW), line,
         problem);
}

void LaunchShape(const BigProblem& problem, const BigShape& shape,
                 KernelLine& line) {
  const bool gated = problem.whole.up != nullptr;
  if (shape.warps_w == 4) {
    gated ? LaunchBig<4, true>(problem, 1, line)
          : LaunchBig<4, false>(problem, shape.segments, line);
  } else {
    gated ? LaunchBig<2, true>(problem, 1, line)
          : LaunchBig<2, false>(problem, shape.segments, line);
  }
}

// Whether both read the same values.
bool ShareInput(const MatmulArgs& a, const MatmulArgs& b) {
  return a.x == b.x && a.x_rows == b.x_rows && a.m == b.m && a.k == b.k &&
         a.x_stride == b.x_stride;
}

}  // namespace

size_t RoundSharedInput(absl::Span<const MatmulArgs> problems, BF16* to,
                        KernelLine& line) {
  const MatmulArgs& first = problems[0];
  RoundRowsArgs round;
  round.rows = first.m;
  round.width = first.k;
  round.x = first.x;
  round.x_stride = first.x_stride;
  round.x_rows = first.x_rows;
  round.y = to;
  RoundRows(round, line);
  size_t sharing = 1;
  while (sharing < problems.size() && ShareInput(first, problems[sharing])) {
    ++sharing;
  }
  return sharing;
}

void BigMatmul(const MatmulArgs& args, const BigShape& shape,
               const ProductScratch& scratch, KernelLine& line) {
  BigProblem problem;
  problem.whole.w = static_cast<const BF16*>(args.w);
  problem.whole.up = static_cast<const BF16*>(args.up);
  problem.whole.w_stride = args.w_stride;
  problem.whole.x_stride = args.k;
  problem.whole.n = args.n;
  problem.whole.k = args.k / shape.segments;
  for (int64_t first = 0; first < args.m; first += shape.rows) {
    problem.rows = args.m - first < shape.rows ? args.m - first : shape.rows;
    problem.whole.x = scratch.rounded + first * args.k;
    problem.y = args.y + first * args.y_stride;
    problem.y_stride = args.y_stride;
    if (shape.segments == 1) {
      LaunchShape(problem, shape, line);
      continue;
    }
    float* y = problem.y;
    problem.y = scratch.sums;
    problem.y_stride = args.n;
    problem.segment_stride = problem.rows * args.n;
    LaunchShape(problem, shape, line);
    AddParts(shape.segments, scratch.sums, problem.segment_stride, y, line);
  }
}

}  // namespace FACET_CUDA
}  // namespace facet
