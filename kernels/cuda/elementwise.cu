// Operations that touch every value once: embedding, rotation table, gated
// GELU, scale, gather, softcap.
#include "kernels/base/check.h"
#include "kernels/base/math.h"
#include "kernels/base/sin_cos.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/operations.h"

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

__global__ void GatedGeluKernel(GatedGeluArgs args) {
  for (int64_t i = FirstValue(); i < args.rows * args.width;
       i += AllThreads()) {
    const int64_t t = i / args.width, d = i % args.width;
    args.y[t * args.y_stride + d] =
        GeluTanh(args.gate[t * args.gate_stride + d]) *
        args.up[t * args.up_stride + d];
  }
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
  Launch(GatedGeluKernel, BlocksFor(args.rows * args.width), kThreads, 0, line,
         args);
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
