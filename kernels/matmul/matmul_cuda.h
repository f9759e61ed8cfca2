// The loops of products with weight matrices on a device, for kernels that hand
// out work in their own ways. Bits are those of kernels/matmul/matmul.h.
#ifndef FACET_KERNELS_MATMUL_MATMUL_CUDA_H_
#define FACET_KERNELS_MATMUL_MATMUL_CUDA_H_

#include "kernels/base/math.h"
#include "kernels/cuda/async_copy.h"
#include "kernels/cuda/lanes.h"
#include "kernels/cuda/launch.h"
#include "kernels/matmul/matmul.h"
#include "kernels/matmul/matmul_cuda_plan.h"

namespace facet {
namespace FACET_CUDA {

__device__ inline int64_t RowOfX(const MatmulArgs& args, int64_t i) {
  return args.x_rows != nullptr ? args.x_rows[i] : i;
}

// Adds sums[0], sums[stride], … along the contract's binary tree, in place.
__device__ inline float TreeSum(float* sums, int count, int stride) {
  for (int step = 1; step < count; step *= 2) {
    for (int s = 0; s < count; s += 2 * step) {
      sums[s * stride] += sums[(s + step) * stride];
    }
  }
  return sums[0];
}

// What becomes of a result before it is written: nothing, or
// gelu(y) * by[row of x, row of w].
struct Epilogue {
  const float* by = nullptr;
  int64_t stride = 0;
};
__device__ inline float Finish(const Epilogue& epilogue, int64_t i, int64_t j,
                               float y) {
  if (epilogue.by == nullptr) return y;
  return GeluTanh(y) * epilogue.by[i * epilogue.stride + j];
}

// ---- Any shape: half a warp per row of w, lane by lane. ----

template <typename T>
__device__ inline float WeightOf(const T* w, int64_t i) {
  if constexpr (sizeof(T) == 2) {
    return ToFloat(w[i]);
  } else {
    return w[i];
  }
}

template <typename T>
__device__ float DotOfHalfWarp(const MatmulArgs& args, const float* x,
                               const T* w) {
  const int64_t part = args.k / args.segments;
  float sums[kMostSegments];
  for (int s = 0; s < args.segments; ++s) {
    float lane = 0;
    for (int64_t k = s * part + threadIdx.x % kLanes; k < (s + 1) * part;
         k += kLanes) {
      const float value = args.bf16_inputs ? ToFloat(ToBF16(x[k])) : x[k];
      lane = fmaf(value, WeightOf(w, k), lane);
    }
    sums[s] = SumOfLanes(lane);
  }
  return TreeSum(sums, args.segments, 1);
}

// Rows [tile * kAnyRows, + kAnyRows) of w times all rows of x. The block has
// kMatmulThreads threads.
template <typename T>
__device__ void AnyTileOf(const MatmulArgs& args, int64_t tile,
                          const Epilogue& epilogue) {
  const int64_t row = tile * kAnyRows + threadIdx.x / kLanes;
  // Threads without a row go along, for shuffles need whole warps.
  const int64_t j = row < args.n ? row : args.n - 1;
  const T* w = static_cast<const T*>(args.w) + j * args.w_stride;
  const T* up = args.up == nullptr
                    ? nullptr
                    : static_cast<const T*>(args.up) + j * args.w_stride;
  for (int64_t i = 0; i < args.m; ++i) {
    const float* x = args.x + RowOfX(args, i) * args.x_stride;
    float y = DotOfHalfWarp(args, x, w);
    if (up != nullptr) y = GeluTanh(y) * DotOfHalfWarp(args, x, up);
    if (threadIdx.x % kLanes == 0 && row < args.n) {
      args.y[i * args.y_stride + row] = Finish(epilogue, i, row, y);
    }
  }
}

__device__ inline void AnyTile(const MatmulArgs& args, int64_t tile,
                               const Epilogue& epilogue = {}) {
  if (args.w_dtype == DType::kF32) {
    AnyTileOf<float>(args, tile, epilogue);
  } else {
    AnyTileOf<BF16>(args, tile, epilogue);
  }
}

// ---- bf16 weights that stream through shared memory. ----
//
// A strip is one segment of one row of w (or of up). The block holds 64 strips,
// two threads each: lanes 0 to 7 and 8 to 15. All threads copy chunks of 64 k
// of every strip, kStages ahead; x comes through the first-level cache, where
// threads of one warp ask for the same few values.

template <bool kRound>
__device__ inline void LoadEight(const float* x, float (&out)[8]) {
  const float4 a = *reinterpret_cast<const float4*>(x);
  const float4 b = *reinterpret_cast<const float4*>(x + 4);
  out[0] = a.x, out[1] = a.y, out[2] = a.z, out[3] = a.w;
  out[4] = b.x, out[5] = b.y, out[6] = b.z, out[7] = b.w;
  if constexpr (kRound) {
#pragma unroll
    for (int i = 0; i < 8; ++i) out[i] = ToFloat(ToBF16(out[i]));
  }
}

__device__ inline void UnpackEight(const unsigned char* from, float (&out)[8]) {
  const uint4 bits = *reinterpret_cast<const uint4*>(from);
  const unsigned pairs[4] = {bits.x, bits.y, bits.z, bits.w};
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    out[2 * i] = ToFloat(BF16{static_cast<uint16_t>(pairs[i])});
    out[2 * i + 1] = ToFloat(BF16{static_cast<uint16_t>(pairs[i] >> 16)});
  }
}

// From sums [strips, M] of a tile, which change, to results.
template <int M>
__device__ inline void WriteSums(const MatmulArgs& args,
                                 const StreamShape& shape, int64_t first_row,
                                 int64_t first, float* sums,
                                 const Epilogue& epilogue) {
  for (int i = static_cast<int>(threadIdx.x); i < shape.rows * M;
       i += static_cast<int>(blockDim.x)) {
    const int64_t row = first_row + i / M;
    const int m = i % M;
    if (row >= args.n || first + m >= args.m) continue;
    // Strips of one row: its segments lie shape.rows apart, those of up behind
    // those of w.
    float* own = sums + i;
    float y = TreeSum(own, args.segments, shape.rows * M);
    if (args.up != nullptr) {
      own += args.segments * shape.rows * M;
      y = GeluTanh(y) * TreeSum(own, args.segments, shape.rows * M);
    }
    args.y[(first + m) * args.y_stride + row] =
        Finish(epilogue, first + m, row, y);
  }
}

// The rows of tile `tile` of `args` times rows [first, first + M) of x; rows
// from args.m on are computed from the last and not written. The block has
// kMatmulThreads threads and kStreamSharedBytes of shared memory.
//
// REQUIRES: CanStream(args).
template <int M, bool kRound>
__device__ void StreamTile(const MatmulArgs& args, int64_t tile, int64_t first,
                           const Epilogue& epilogue = {}) {
  unsigned char* shared = SharedMemory<unsigned char>();
  const StreamShape shape = StreamShapeOf(args);
  const int64_t first_row = tile * shape.rows;
  const int thread = static_cast<int>(threadIdx.x);

  // What this thread copies: the same 16 bytes of four strips.
  const BF16* from[kCopiesPerThread];
  unsigned char* to[kCopiesPerThread];
#pragma unroll
  for (int c = 0; c < kCopiesPerThread; ++c) {
    const int piece = c * kMatmulThreads + thread;
    const Strip strip = StripAt(shape, piece / kPiecesPerChunk);
    int64_t row = first_row + strip.row;
    if (row >= args.n) row = args.n - 1;
    const void* matrix = strip.up ? args.up : args.w;
    from[c] = static_cast<const BF16*>(matrix) + row * args.w_stride +
              strip.segment * shape.part +
              piece % kPiecesPerChunk * kElementsPerPiece;
    to[c] = shared + piece / kPiecesPerChunk * kStripBytes +
            piece % kPiecesPerChunk * 16;
  }
  const int64_t chunks = (shape.part + kChunk - 1) / kChunk;
  const int place = thread % kPiecesPerChunk * kElementsPerPiece;
  const auto copy = [&](int64_t chunk) {
    if (chunk < chunks && chunk * kChunk + place < shape.part) {
#pragma unroll
      for (int c = 0; c < kCopiesPerThread; ++c) {
        CopyAsync(to[c] + chunk % kStages * kStageBytes,
                  from[c] + chunk * kChunk);
      }
    }
    CommitCopies();
  };

  const Strip strip = StripAt(shape, thread / 2);
  const float* x[M];
#pragma unroll
  for (int m = 0; m < M; ++m) {
    const int64_t i = first + m < args.m ? first + m : args.m - 1;
    x[m] = args.x + RowOfX(args, i) * args.x_stride +
           strip.segment * shape.part + thread % 2 * 8;
  }
  float lanes[M][8];
#pragma unroll
  for (int m = 0; m < M; ++m) {
#pragma unroll
    for (int i = 0; i < 8; ++i) lanes[m][i] = 0;
  }

  for (int64_t chunk = 0; chunk < kStages - 1; ++chunk) copy(chunk);
  for (int64_t chunk = 0; chunk < chunks; ++chunk) {
    WaitForCopies<kStages - 2>();
    // Everyone's copies are there, and the stage read last is free.
    __syncthreads();
    copy(chunk + kStages - 1);
    const unsigned char* stage = shared + chunk % kStages * kStageBytes +
                                 thread / 2 * kStripBytes + thread % 2 * 16;
    const int64_t left = shape.part - chunk * kChunk;
    const int steps = StepsOfHalf(
        static_cast<int>(left < kChunk ? left : kChunk), thread % 2);
#pragma unroll
    for (int step = 0; step < kChunk / kLanes; ++step) {
      if (step >= steps) break;
      float w[8];
      UnpackEight(stage + step * 32, w);
#pragma unroll
      for (int m = 0; m < M; ++m) {
        float value[8];
        LoadEight<kRound>(x[m] + chunk * kChunk + step * kLanes, value);
#pragma unroll
        for (int i = 0; i < 8; ++i) {
          lanes[m][i] = fmaf(value[i], w[i], lanes[m][i]);
        }
      }
    }
  }

  __syncthreads();  // the stages are free for sums
  float* sums = reinterpret_cast<float*>(shared);  // [strips][M]
#pragma unroll
  for (int m = 0; m < M; ++m) {
    const float sum = SumOfHalves(lanes[m]);
    if (thread % 2 == 0) sums[thread / 2 * M + m] = sum;
  }
  __syncthreads();
  WriteSums<M>(args, shape, first_row, first, sums, epilogue);
  __syncthreads();  // before the block's next tile overwrites sums
}

// All rows of x, eight or fewer at a time; for blocks that learn on the device
// how many there are.
template <bool kRound>
__device__ void StreamTileOfAllRows(const MatmulArgs& args, int64_t tile) {
  int64_t first = 0;
  for (; args.m - first > 4; first += 8) {
    StreamTile<8, kRound>(args, tile, first);
  }
  if (args.m - first > 2) {
    StreamTile<4, kRound>(args, tile, first);
  } else if (args.m - first == 2) {
    StreamTile<2, kRound>(args, tile, first);
  } else if (args.m - first == 1) {
    StreamTile<1, kRound>(args, tile, first);
  }
}

}  // namespace FACET_CUDA
}  // namespace facet

#endif  // FACET_KERNELS_MATMUL_MATMUL_CUDA_H_
