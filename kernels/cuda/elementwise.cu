// Operations that touch every value once: embedding, rotation table, gated
// GELU, rounding, scale, gather, softcap.
#include <algorithm>

#include "kernels/base/check.h"
#include "kernels/base/math.h"
#include "kernels/base/sin_cos.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/operations.h"
#include "kernels/cuda/tensor_core.h"

namespace facet {
namespace FACET_CUDA {
namespace {

constexpr int kThreads = 256;
// Enough blocks to fill any device; threads walk the rest.
constexpr int64_t kMostBlocks = 4096;
constexpr int kMostPartsLog2 = 6;

dim3 BlocksFor(int64_t values) {
  const int64_t blocks = (values + kThreads - 1) / kThreads;
  return dim3(
      static_cast<unsigned>(blocks < kMostBlocks ? blocks : kMostBlocks));
}

__device__ inline int64_t FirstValue() {
  return static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
}

__device__ inline int64_t AllThreads() {
  return static_cast<int64_t>(gridDim.x) * blockDim.x;
}

struct Table {
  const void* data;
  DType dtype;
  int64_t stride, column;
};

__global__ void EmbeddingKernel(Table table, const int32_t* rows,
                                int64_t tokens, int64_t width, float scale,
                                float* y, int64_t y_stride) {
  for (int64_t i = FirstValue(); i < tokens * width; i += AllThreads()) {
    const int64_t t = i / width, d = i % width;
    const int64_t at = rows[t] * table.stride + table.column + d;
    const float value = table.dtype == DType::kF32
                            ? static_cast<const float*>(table.data)[at]
                            : ToFloat(static_cast<const BF16*>(table.data)[at]);
    y[t * y_stride + d] = value * scale;
  }
}

__global__ void RopeTableKernel(int64_t positions, const int64_t* position,
                                int64_t frequencies, const float* frequency,
                                float* cos, float* sin) {
  for (int64_t i = FirstValue(); i < positions * frequencies;
       i += AllThreads()) {
    const float angle = static_cast<float>(position[i / frequencies]) *
                        frequency[i % frequencies];
    double s, c;
    InlineSinCos(angle, &s, &c);
    cos[i] = static_cast<float>(c);
    sin[i] = static_cast<float>(s);
  }
}

// Threads of blocks along x walk a row, kWide values at a time; blocks along y
// walk rows. So nobody divides by a width.
template <int kWide, typename Body>
__device__ inline void ForRows(int64_t rows, int64_t width, Body body) {
  for (int64_t t = blockIdx.y; t < rows; t += gridDim.y) {
    for (int64_t d = kWide * FirstValue(); d < width;
         d += kWide * AllThreads()) {
      body(t, d);
    }
  }
}
dim3 BlocksForRows(int64_t rows, int64_t width, int wide) {
  const dim3 along = BlocksFor((width + wide - 1) / wide);
  return dim3(along.x, static_cast<unsigned>(std::min(rows, kMostBlocks)));
}

template <bool kFour>
__global__ void GatedGeluKernel(GatedGeluArgs args) {
  ForRows<kFour ? 4 : 1>(args.rows, args.width, [&](int64_t t, int64_t d) {
    const float* gate = args.gate + t * args.gate_stride + d;
    const float* up = args.up + t * args.up_stride + d;
    float* y = args.y + t * args.y_stride + d;
    if constexpr (kFour) {
      const float4 g = *reinterpret_cast<const float4*>(gate);
      const float4 u = *reinterpret_cast<const float4*>(up);
      *reinterpret_cast<float4*>(y) = {GeluTanh(g.x) * u.x, GeluTanh(g.y) * u.y,
                                       GeluTanh(g.z) * u.z,
                                       GeluTanh(g.w) * u.w};
    } else {
      *y = GeluTanh(*gate) * *up;
    }
  });
}

template <bool kEight>
__global__ void RoundRowsKernel(RoundRowsArgs args) {
  ForRows<kEight ? 8 : 1>(args.rows, args.width, [&](int64_t t, int64_t d) {
    const int64_t row = args.x_rows != nullptr ? args.x_rows[t] : t;
    const float* x = args.x + row * args.x_stride + d;
    BF16* y = args.y + t * args.width + d;
    if constexpr (kEight) {
      const float4 a = *reinterpret_cast<const float4*>(x);
      const float4 b = *reinterpret_cast<const float4*>(x + 4);
      *reinterpret_cast<uint4*>(y) = {PackBF16(a.x, a.y), PackBF16(a.z, a.w),
                                      PackBF16(b.x, b.y), PackBF16(b.z, b.w)};
    } else {
      *y = ToBF16(*x);
    }
  });
}

bool IsAligned(const void* p) {
  return reinterpret_cast<uintptr_t>(p) % 16 == 0;
}

__global__ void ScaleKernel(float* x, int64_t count, float factor) {
  for (int64_t i = FirstValue(); i < count; i += AllThreads()) x[i] *= factor;
}

__global__ void GatherRowsKernel(int64_t count, const int64_t* rows,
                                 int64_t width, const float* x, float* y) {
  for (int64_t i = FirstValue(); i < count * width; i += AllThreads()) {
    y[i] = x[rows[i / width] * width + i % width];
  }
}

__global__ void AddPartsKernel(int parts, const float* x, int64_t count,
                               float* y) {
  for (int64_t i = FirstValue(); i < count; i += AllThreads()) {
    // Sums of complete subtrees, the largest at the bottom.
    float sums[kMostPartsLog2 + 1];
    int depth = 0;
    for (int p = 0; p < parts; ++p) {
      float sum = x[p * count + i];
      for (int done = p; done & 1; done >>= 1) sum = sums[--depth] + sum;
      sums[depth++] = sum;
    }
    y[i] = sums[0];
  }
}

__global__ void SoftcapKernel(float* x, int64_t count, float cap) {
  for (int64_t i = FirstValue(); i < count; i += AllThreads()) {
    x[i] = facet::Softcap(x[i], cap);
  }
}

}  // namespace

int MostSharedBytes() {
#if defined(__CUDACC__)
  int device = 0, bytes = 0;
  cudaGetDevice(&device);
  cudaDeviceGetAttribute(&bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin,
                         device);
  return bytes;
#else
  return most_shared_bytes;
#endif
}

void Embedding(const EmbeddingArgs& args, KernelLine& line) {
  const Table table = {args.table, args.dtype, args.table_stride, args.column};
  const int64_t tokens = static_cast<int64_t>(args.rows.size());
  Launch(EmbeddingKernel, BlocksFor(tokens * args.width), kThreads, 0, line,
         table, args.rows.data(), tokens, args.width, args.scale, args.y,
         args.y_stride);
}

void RopeTable(int64_t positions, const int64_t* position, int64_t frequencies,
               const float* frequency, float* cos, float* sin,
               KernelLine& line) {
  Launch(RopeTableKernel, BlocksFor(positions * frequencies), kThreads, 0, line,
         positions, position, frequencies, frequency, cos, sin);
}

void GatedGelu(const GatedGeluArgs& args, KernelLine& line) {
  const bool four =
      IsAligned(args.gate) && IsAligned(args.up) && IsAligned(args.y) &&
      (args.width | args.gate_stride | args.up_stride | args.y_stride) % 4 == 0;
  if (four) {
    Launch(GatedGeluKernel<true>, BlocksForRows(args.rows, args.width, 4),
           kThreads, 0, line, args);
  } else {
    Launch(GatedGeluKernel<false>, BlocksForRows(args.rows, args.width, 1),
           kThreads, 0, line, args);
  }
}

void RoundRows(const RoundRowsArgs& args, KernelLine& line) {
  const bool eight = IsAligned(args.x) && IsAligned(args.y) &&
                     args.width % 8 == 0 && args.x_stride % 4 == 0;
  if (eight) {
    Launch(RoundRowsKernel<true>, BlocksForRows(args.rows, args.width, 8),
           kThreads, 0, line, args);
  } else {
    Launch(RoundRowsKernel<false>, BlocksForRows(args.rows, args.width, 1),
           kThreads, 0, line, args);
  }
}

void Scale(float* x, int64_t count, float factor, KernelLine& line) {
  Launch(ScaleKernel, BlocksFor(count), kThreads, 0, line, x, count, factor);
}

void GatherRows(int64_t count, const int64_t* rows, int64_t width,
                const float* x, float* y, KernelLine& line) {
  Launch(GatherRowsKernel, BlocksFor(count * width), kThreads, 0, line, count,
         rows, width, x, y);
}

void AddParts(int parts, const float* x, int64_t count, float* y,
              KernelLine& line) {
  FACET_CHECK(parts <= 1 << kMostPartsLog2);
  Launch(AddPartsKernel, BlocksFor(count), kThreads, 0, line, parts, x, count,
         y);
}

void Softcap(float* x, int64_t count, float cap, KernelLine& line) {
  Launch(SoftcapKernel, BlocksFor(count), kThreads, 0, line, x, count, cap);
}

}  // namespace FACET_CUDA
}  // namespace facet
