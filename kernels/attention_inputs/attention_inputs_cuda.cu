// A warp per token and head: norm, rotation, and the way into the pages.
#include "kernels/base/kv_pages.h"
#include "kernels/cuda/lanes.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/operations.h"

namespace facet {
namespace FACET_CUDA {
namespace {

constexpr int kWarps = 4;

// out = x / rms(x), times weight where there is one. out lies in shared memory
// and may not be x.
__device__ void NormHead(const float* x, const float* weight, int dim,
                         float epsilon, float* out) {
  const int thread = threadIdx.x % 32;
  float lane = 0;
#pragma unroll 8
  for (int i = thread % kLanes; i < dim; i += kLanes) {
    lane = fmaf(x[i], x[i], lane);
  }
  const float mean = SumOfLanes(lane) / static_cast<float>(dim);
  const float inverse = 1.0f / sqrtf(mean + epsilon);
  for (int i = thread; i < dim; i += 32) {
    float v = x[i] * inverse;
    if (weight != nullptr) v *= weight[i];
    out[i] = v;
  }
  __syncwarp();
}

__device__ void RotateHead(const AttentionInputsArgs& args, int64_t token,
                           float* x) {
  const int half = args.head_dim / 2;
  for (int i = threadIdx.x % 32; i < args.rotated_pairs; i += 32) {
    const float c = args.cos[token * args.rotated_pairs + i];
    const float s = args.sin[token * args.rotated_pairs + i];
    const float a = x[i];
    const float b = x[i + half];
    x[i] = fmaf(a, c, -(b * s));
    x[i + half] = fmaf(b, c, a * s);
  }
  __syncwarp();
}

// To where the operation's own output stands, and, with `pages`, to element
// `slot` of the pages.
__device__ void StoreHead(const float* from, int dim, float* to, void* pages,
                          DType dtype, int64_t slot) {
  for (int i = threadIdx.x % 32; i < dim; i += 32) {
    to[i] = from[i];
    if (pages == nullptr) continue;
    if (dtype == DType::kF32) {
      static_cast<float*>(pages)[slot + i] = from[i];
    } else {
      static_cast<BF16*>(pages)[slot + i] = ToBF16(from[i]);
    }
  }
  __syncwarp();
}

__global__ void AttentionInputsKernel(AttentionInputsArgs args) {
  const int dim = args.head_dim;
  float* head = SharedMemory<float>() + threadIdx.x / 32 * dim;
  const int heads = args.query_heads + args.kv_heads;
  const int64_t unit =
      static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.x / 32;
  if (unit >= args.tokens * heads) return;
  const int64_t token = unit / heads;
  const int h = static_cast<int>(unit % heads);
  if (h < args.query_heads) {
    float* q = args.q + (token * args.query_heads + h) * dim;
    NormHead(q, args.q_norm, dim, args.epsilon, head);
    RotateHead(args, token, head);
    StoreHead(head, dim, q, nullptr, args.kv_dtype, 0);
    return;
  }
  const int kv = h - args.query_heads;
  const int64_t at = (token * args.kv_heads + kv) * dim;
  const int64_t page = args.slots[token] / args.page_tokens;
  const int64_t place = args.slots[token] % args.page_tokens;
  const int64_t slot = KvElement(args, page, kv, place);
  // Values come from the raw projection, before k_norm and rotation.
  NormHead(args.v_from_k ? args.k + at : args.v + at, nullptr, dim,
           args.epsilon, head);
  StoreHead(head, dim, args.v + at, args.v_pages, args.kv_dtype, slot);
  NormHead(args.k + at, args.k_norm, dim, args.epsilon, head);
  RotateHead(args, token, head);
  StoreHead(head, dim, args.k + at, args.k_pages, args.kv_dtype, slot);
}

}  // namespace

void AttentionInputs(const AttentionInputsArgs& args, KernelLine& line) {
  const int64_t units = args.tokens * (args.query_heads + args.kv_heads);
  Launch(AttentionInputsKernel,
         dim3(static_cast<unsigned>((units + kWarps - 1) / kWarps)),
         dim3(32 * kWarps), kWarps * args.head_dim * sizeof(float), line, args);
}

}  // namespace FACET_CUDA
}  // namespace facet
