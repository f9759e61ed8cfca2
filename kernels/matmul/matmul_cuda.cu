// Blocks take tiles of rows of w: of all problems at once, so that small ones
// fill the gaps that large ones leave.
#include "kernels/base/check.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/operations.h"
#include "kernels/matmul/matmul_cuda.h"
#include "kernels/matmul/matmul_tensor_cuda.h"

namespace facet {
namespace FACET_CUDA {
namespace {

constexpr int kMostProblems = 4;

struct Problems {
  int count;
  MatmulArgs args[kMostProblems];
  int64_t end[kMostProblems];  // tiles of this one and those before it
  Epilogue epilogue;           // of the only problem
};

// The problem that this block has a tile of; `tile` becomes that tile.
__device__ inline int ProblemOf(const Problems& problems, int64_t& tile) {
  int p = 0;
  while (tile >= problems.end[p]) ++p;
  if (p > 0) tile -= problems.end[p - 1];
  return p;
}

__global__ void __launch_bounds__(kMatmulThreads) AnyKernel(Problems problems) {
  int64_t tile = blockIdx.x;
  const int p = ProblemOf(problems, tile);
  AnyTile(problems.args[p], tile, problems.epilogue);
}

// A kernel per number of rows of x in flight, for one row needs few registers
// and then more blocks keep loads on their way.
template <int M, bool kRound>
__global__ void __launch_bounds__(kMatmulThreads)
    StreamKernel(Problems problems) {
  int64_t tile = blockIdx.x;
  const int p = ProblemOf(problems, tile);
  StreamTile<M, kRound>(problems.args[p], tile,
                        static_cast<int64_t>(blockIdx.y) * M,
                        problems.epilogue);
}

template <int N>
__global__ void __launch_bounds__(256) TensorKernel(Problems problems) {
  int64_t tile = blockIdx.x;
  const int p = ProblemOf(problems, tile);
  TensorTile<N>(problems.args[p], tile, static_cast<int64_t>(blockIdx.y) * N,
                problems.epilogue);
}

// The loop for a problem goes by its shape, never by its rows of x.
enum class Loop { kAny, kStream, kTensorCores };

Loop LoopOf(const MatmulArgs& args) {
  if (CanUseTensorCores(args)) return Loop::kTensorCores;
  return CanStream(args) ? Loop::kStream : Loop::kAny;
}

int64_t TilesFor(Loop loop, const MatmulArgs& args) {
  if (loop != Loop::kTensorCores) return TilesOf(args);
  const int64_t rows = TensorShapeOf(args).rows;
  return (args.n + rows - 1) / rows;
}

// Whether the two can share a launch.
bool GoTogether(const MatmulArgs& a, const MatmulArgs& b) {
  if (a.m != b.m || a.bf16_inputs != b.bf16_inputs || LoopOf(a) != LoopOf(b)) {
    return false;
  }
  return LoopOf(a) != Loop::kTensorCores ||
         (TensorThreads(a) == TensorThreads(b) && a.segments == b.segments);
}

template <int N>
void LaunchTensor(const Problems& problems, int64_t tiles, KernelLine& line) {
  const MatmulArgs& args = problems.args[0];
  const int64_t groups = (args.m + N - 1) / N;
  Launch(TensorKernel<N>,
         dim3(static_cast<unsigned>(tiles), static_cast<unsigned>(groups)),
         dim3(static_cast<unsigned>(TensorThreads(args))),
         static_cast<size_t>(TensorSharedBytes(args, N)), line, problems);
}

void LaunchTensorRows(const Problems& problems, int64_t tiles,
                      KernelLine& line) {
  switch (TensorRows(problems.args[0])) {
    case 8:
      return LaunchTensor<8>(problems, tiles, line);
    case 16:
      return LaunchTensor<16>(problems, tiles, line);
    case 32:
      return LaunchTensor<32>(problems, tiles, line);
    default:
      return LaunchTensor<64>(problems, tiles, line);
  }
}

template <int M>
void LaunchStream(const Problems& problems, int64_t tiles, KernelLine& line) {
  const int64_t groups = (problems.args[0].m + M - 1) / M;
  const dim3 grid(static_cast<unsigned>(tiles), static_cast<unsigned>(groups));
  if (problems.args[0].bf16_inputs) {
    Launch(StreamKernel<M, true>, grid, dim3(kMatmulThreads),
           kStreamSharedBytes, line, problems);
  } else {
    Launch(StreamKernel<M, false>, grid, dim3(kMatmulThreads),
           kStreamSharedBytes, line, problems);
  }
}

void LaunchLoop(Loop loop, const Problems& problems, int64_t tiles,
                KernelLine& line) {
  const int64_t rows = problems.args[0].m;
  if (rows == 0) return;
  if (loop == Loop::kTensorCores) {
    LaunchTensorRows(problems, tiles, line);
  } else if (loop == Loop::kAny) {
    Launch(AnyKernel, dim3(static_cast<unsigned>(tiles)), dim3(kMatmulThreads),
           0, line, problems);
  } else if (rows == 1) {
    LaunchStream<1>(problems, tiles, line);
  } else if (rows == 2) {
    LaunchStream<2>(problems, tiles, line);
  } else if (rows <= 4) {
    LaunchStream<4>(problems, tiles, line);
  } else {
    LaunchStream<8>(problems, tiles, line);
  }
}

// `epilogue` is of the only problem, where there is one.
void LaunchAll(absl::Span<const MatmulArgs> all, const Epilogue& epilogue,
               KernelLine& line) {
  // Problems of as many rows and the same loop go together.
  for (size_t begin = 0; begin < all.size();) {
    Problems problems = {};
    problems.epilogue = epilogue;
    int64_t tiles = 0;
    const MatmulArgs& first = all[begin];
    const Loop loop = LoopOf(first);
    while (begin < all.size() && problems.count < kMostProblems &&
           GoTogether(first, all[begin])) {
      const MatmulArgs& args = all[begin++];
      FACET_CHECK(args.segments <= kMostSegments);
      tiles += TilesFor(loop, args);
      problems.args[problems.count] = args;
      problems.end[problems.count++] = tiles;
    }
    LaunchLoop(loop, problems, tiles, line);
  }
}

}  // namespace

void Matmuls(absl::Span<const MatmulArgs> all, KernelLine& line) {
  LaunchAll(all, Epilogue(), line);
}

void MatmulAndGelu(const MatmulArgs& product, const GatedGeluArgs& gelu,
                   KernelLine& line) {
  FACET_CHECK(GeluFollows(product, gelu));
  LaunchAll({&product, 1}, Epilogue{gelu.up, gelu.up_stride}, line);
}

}  // namespace FACET_CUDA
}  // namespace facet
