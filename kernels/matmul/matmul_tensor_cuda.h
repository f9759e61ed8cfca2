// Products of bf16 weights with inputs rounded to bf16, on tensor cores, for
// one row of x or hundreds. A result's bits depend on its own row of x and of w
// alone: every one is the same run of 16-wide products over its segment, and
// segments are added along the contract's tree.
#ifndef FACET_KERNELS_MATMUL_MATMUL_TENSOR_CUDA_H_
#define FACET_KERNELS_MATMUL_MATMUL_TENSOR_CUDA_H_

#include "kernels/cuda/async_copy.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/tensor_core.h"
#include "kernels/matmul/matmul.h"
#include "kernels/matmul/matmul_cuda.h"
#include "kernels/matmul/matmul_tensor_cuda_plan.h"

namespace facet {
namespace FACET_CUDA {

// Rows of x of one chunk in every segment, rounded, to shared memory.
template <int N>
__device__ void StageRows(const MatmulArgs& args, const StreamShape& shape,
                          int64_t first, int64_t chunk, unsigned char* to) {
  constexpr int kFours = kChunk / 4;
  const int64_t left = shape.part - chunk * kChunk;
  const int count = shape.segments * N * kFours;
  for (int i = static_cast<int>(threadIdx.x); i < count;
       i += static_cast<int>(blockDim.x)) {
    const int row = i / kFours, k = i % kFours * 4;
    const int64_t m = first + row % N;
    float4 values = {0, 0, 0, 0};
    if (m < args.m && k < left) {
      values = *reinterpret_cast<const float4*>(
          args.x + RowOfX(args, m) * args.x_stride + row / N * shape.part +
          chunk * kChunk + k);
    }
    uint32_t* pair =
        reinterpret_cast<uint32_t*>(to + row * kTensorRowBytes + 2 * k);
    pair[0] = PackBF16(values.x, values.y);
    pair[1] = PackBF16(values.z, values.w);
  }
}

// Tile `tile` of w times N rows of x from `first` on. The block has
// TensorThreads(args) threads and TensorSharedBytes(args, N) of shared memory.
//
// REQUIRES: CanUseTensorCores(args).
template <int N>
__device__ void TensorTile(const MatmulArgs& args, int64_t tile, int64_t first,
                           const Epilogue& epilogue) {
  const StreamShape shape = TensorShapeOf(args);
  const int strips = TensorStrips(args);
  const int stage_bytes = strips * kTensorRowBytes;
  unsigned char* shared = SharedMemory<unsigned char>();
  unsigned char* rows_of_x = shared + kStages * stage_bytes;
  const int64_t first_row = tile * shape.rows;
  const int thread = static_cast<int>(threadIdx.x);

  // Two threads copy a strip's chunk: four pieces each.
  constexpr int kPieces = kPiecesPerChunk / 2;
  const int piece = thread % 2 * kPieces;
  const Strip copied = StripAt(shape, thread / 2);
  const int64_t row =
      first_row + copied.row < args.n ? first_row + copied.row : args.n - 1;
  const BF16* from = static_cast<const BF16*>(copied.up ? args.up : args.w) +
                     row * args.w_stride + copied.segment * shape.part;
  unsigned char* to = shared + thread / 2 * kTensorRowBytes;
  const int64_t chunks = (shape.part + kChunk - 1) / kChunk;
  const auto copy = [&](int64_t chunk) {
    if (chunk < chunks) {
#pragma unroll
      for (int p = piece; p < piece + kPieces; ++p) {
        const int64_t at = chunk * kChunk + p * kElementsPerPiece;
        if (at >= shape.part) break;
        CopyAsync(to + chunk % kStages * stage_bytes + 16 * p, from + at);
      }
    }
    CommitCopies();
  };

  // A warp takes 16 strips, all of one segment of one matrix.
  const int lane = thread % 32;
  const int first_strip = thread / 32 * 16;
  const Strip own = StripAt(shape, first_strip);
  const int fragment = lane / 4 * kTensorRowBytes + lane % 4 * 4;
  float sums[N / 8][4] = {};

  for (int64_t chunk = 0; chunk < kStages - 1; ++chunk) copy(chunk);
  for (int64_t chunk = 0; chunk < chunks; ++chunk) {
    StageRows<N>(args, shape, first, chunk, rows_of_x);
    WaitForCopies<kStages - 2>();
    __syncthreads();
    copy(chunk + kStages - 1);
    const unsigned char* w = shared + chunk % kStages * stage_bytes +
                             first_strip * kTensorRowBytes + fragment;
    const unsigned char* x =
        rows_of_x + own.segment * N * kTensorRowBytes + fragment;
    const int64_t left = shape.part - chunk * kChunk;
    const int steps = static_cast<int>(left < kChunk ? left : kChunk) / 16;
    for (int step = 0; step < steps; ++step) {
      const auto load = [&](const unsigned char* base, int row, int k) {
        return *reinterpret_cast<const uint32_t*>(base + row * kTensorRowBytes +
                                                  2 * (16 * step + k));
      };
      const uint32_t a[4] = {load(w, 0, 0), load(w, 8, 0), load(w, 0, 8),
                             load(w, 8, 8)};
#pragma unroll
      for (int n = 0; n < N / 8; ++n) {
        const uint32_t b[2] = {load(x, 8 * n, 0), load(x, 8 * n, 8)};
        MultiplyAdd16x8x16(a, b, sums[n]);
      }
    }
    __syncthreads();  // rows of x and the oldest stage are free
  }

  float* all = reinterpret_cast<float*>(shared);  // [strips][N]
#pragma unroll
  for (int n = 0; n < N / 8; ++n) {
    float* at = all + (first_strip + lane / 4) * N + 8 * n + lane % 4 * 2;
    at[0] = sums[n][0];
    at[1] = sums[n][1];
    at[8 * N] = sums[n][2];
    at[8 * N + 1] = sums[n][3];
  }
  __syncthreads();
  WriteSums<N>(args, shape, first_row, first, all, epilogue);
}

}  // namespace FACET_CUDA
}  // namespace facet

#endif  // FACET_KERNELS_MATMUL_MATMUL_TENSOR_CUDA_H_
