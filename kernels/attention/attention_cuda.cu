// Paged attention for decode and prefill. A block takes up to eight query rows
// that share a KV head, and goes through a split of 1024 keys in three phases:
// all scores; the weights of all blocks of 32 keys, a lane per block; the
// values. The contract's running maximum is a prefix maximum over blocks, so
// that only the sums that must be sequential are.
#include "kernels/attention/attention_rows_cuda.h"
#include "kernels/attention/attention_tensor_cuda.h"
#include "kernels/attention/attention_tensor_cuda_plan.h"
#include "kernels/base/check.h"
#include "kernels/cuda/lanes.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/operations.h"

namespace facet {
namespace FACET_CUDA {
namespace {

constexpr int kThreads = 256;
// Floats of a block of weights: 16-byte reads of eight neighbouring lanes, a
// block each, then meet all banks.
constexpr int kWeightStride = kAttentionBlock + 4;
constexpr int kRowWeights = kSplitBlocks * kWeightStride;

__device__ inline void LoadKey(const BF16* from, float (&out)[8]) {
  const uint4 bits = *reinterpret_cast<const uint4*>(from);
  const unsigned pairs[4] = {bits.x, bits.y, bits.z, bits.w};
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    out[2 * i] = ToFloat(BF16{static_cast<uint16_t>(pairs[i])});
    out[2 * i + 1] = ToFloat(BF16{static_cast<uint16_t>(pairs[i] >> 16)});
  }
}
__device__ inline void LoadKey(const float* from, float (&out)[8]) {
  const float4 a = *reinterpret_cast<const float4*>(from);
  const float4 b = *reinterpret_cast<const float4*>(from + 4);
  out[0] = a.x, out[1] = a.y, out[2] = a.z, out[3] = a.w;
  out[4] = b.x, out[5] = b.y, out[6] = b.z, out[7] = b.w;
}

__device__ inline float ValueOf(float value) { return value; }
__device__ inline float ValueOf(BF16 value) { return ToFloat(value); }

// Two threads per key, eight of the 16 lanes each.
template <typename T, int R>
__device__ void Scores(const AttentionArgs& args, const AttentionRows& rows,
                       KeyRange keys, int64_t split, const float* q,
                       float* weights) {
  const int dim = args.head_dim;
  const int half = threadIdx.x % 2 * 8;
  for (int64_t first = keys.begin; first < keys.end; first += kThreads / 2) {
    const int64_t own = first + threadIdx.x / 2;
    // Threads without a key go along, for shuffles need whole warps.
    const int64_t key = own < keys.end ? own : keys.end - 1;
    const T* k = static_cast<const T*>(args.k) + KeyElement(args, rows, key);
    float lanes[R][8];
#pragma unroll
    for (int r = 0; r < R; ++r) {
#pragma unroll
      for (int i = 0; i < 8; ++i) lanes[r][i] = 0;
    }
#pragma unroll 4
    for (int d = half; d < dim; d += kLanes) {
      float value[8];
      LoadKey(k + d, value);
#pragma unroll
      for (int r = 0; r < R; ++r) {
        float query[8];
        LoadKey(q + r * dim + d, query);
#pragma unroll
        for (int i = 0; i < 8; ++i) {
          lanes[r][i] = fmaf(query[i], value[i], lanes[r][i]);
        }
      }
    }
    const int64_t j = key - split * kAttentionSplit;
#pragma unroll
    for (int r = 0; r < R; ++r) {
      const float score = SumOfHalves(lanes[r]);
      if (half == 0 && own < keys.end) {
        weights[r * kRowWeights + j / kAttentionBlock * kWeightStride +
                j % kAttentionBlock] = score;
      }
    }
  }
}

// Of one row, by one warp: scores become weights, a lane per block. `rescale`
// takes what earlier sums are multiplied with before each block.
__device__ void Weigh(int64_t position, int64_t window, int64_t split,
                      float* weights, float* rescale, float* block_sums,
                      float* m_out, float* l_out) {
  const int lane = threadIdx.x % 32;
  float* own = weights + lane * kWeightStride;
  const SeenKeys seen =
      SeenInBlock(position, window,
                  split * kAttentionSplit + int64_t{lane} * kAttentionBlock);
  float largest = MinusInfinity();
  for (int j = seen.lo; j < seen.hi; ++j) {
    largest = largest < own[j] ? own[j] : largest;
  }
  for (int by = 1; by < 32; by *= 2) {
    const float before = __shfl_up_sync(kFullWarp, largest, by);
    largest = largest < before ? before : largest;
  }
  float before = __shfl_up_sync(kFullWarp, largest, 1);
  if (lane == 0) before = MinusInfinity();
  const bool any = seen.lo < seen.hi;
  rescale[lane] = any ? Exp(before - largest) : 1.0f;
  float sums[kLanes];
#pragma unroll
  for (int i = 0; i < kLanes; ++i) sums[i] = 0;
#pragma unroll
  for (int j = 0; j < kAttentionBlock; ++j) {
    const float weight =
        j >= seen.lo && j < seen.hi ? Exp(own[j] - largest) : 0.0f;
    own[j] = weight;
    sums[j % kLanes] = j < kLanes ? weight : sums[j % kLanes] + weight;
  }
#pragma unroll
  for (int half = kLanes / 2; half > 0; half /= 2) {
#pragma unroll
    for (int i = 0; i < half; ++i) sums[i] += sums[i + half];
  }
  block_sums[lane] = sums[0];
  __syncwarp();
  if (lane == 31) {
    float l = 0;
    for (int b = 0; b < 32; ++b) l = fmaf(l, rescale[b], block_sums[b]);
    *m_out = largest;
    *l_out = l;
  }
}

// o of dimension d over the values of one split.
template <typename T, int R>
__device__ void Values(const AttentionArgs& args, const AttentionRows& rows,
                       KeyRange keys, int64_t split, const float* weights,
                       const float* rescale, int d, float (&o)[R]) {
#pragma unroll
  for (int r = 0; r < R; ++r) o[r] = 0;
  const int dim = args.head_dim;
  const int64_t last_position = rows.position(rows.count - 1);
  for (int64_t block = keys.begin; block < keys.end; block += kAttentionBlock) {
    const int b =
        static_cast<int>((block - split * kAttentionSplit) / kAttentionBlock);
    // Keys that any of the rows sees; beyond them pages may hold anything.
    const int lo = SeenInBlock(rows.position(0), args.window, block).lo;
    const int hi = SeenInBlock(last_position, args.window, block).hi;
    const T* v =
        static_cast<const T*>(args.v) + KeyElement(args, rows, block) + d;
    const float* p = weights + b * kWeightStride;
#pragma unroll
    for (int r = 0; r < R; ++r) o[r] *= rescale[r * kSplitBlocks + b];
    if (lo == 0 && hi == kAttentionBlock) {
#pragma unroll 4
      for (int j = 0; j < kAttentionBlock; j += 4) {
        float value[4];
#pragma unroll
        for (int i = 0; i < 4; ++i) value[i] = ValueOf(v[(j + i) * dim]);
#pragma unroll
        for (int r = 0; r < R; ++r) {
          const float4 w =
              *reinterpret_cast<const float4*>(p + r * kRowWeights + j);
          o[r] = fmaf(w.x, value[0], o[r]);
          o[r] = fmaf(w.y, value[1], o[r]);
          o[r] = fmaf(w.z, value[2], o[r]);
          o[r] = fmaf(w.w, value[3], o[r]);
        }
      }
      continue;
    }
    for (int j = lo; j < hi; ++j) {
      const float value = ValueOf(v[static_cast<int64_t>(j) * dim]);
#pragma unroll
      for (int r = 0; r < R; ++r) {
        o[r] = fmaf(p[r * kRowWeights + j], value, o[r]);
      }
    }
  }
}

// D dimensions per thread.
template <typename T, int R, int D>
__global__ void __launch_bounds__(kThreads)
    AttentionKernel(AttentionContext context) {
  const AttentionArgs& args = context.args;
  const AttentionRows rows = RowsOf(context, blockIdx.x);
  const int dim = args.head_dim;
  float* q = SharedMemory<float>();            // [R, dim]
  float* weights = q + R * dim;                // [R, kRowWeights]
  float* rescale = weights + R * kRowWeights;  // [R, kSplitBlocks]
  float* block_sums = rescale + R * kSplitBlocks;
  float* m = block_sums + R * kSplitBlocks;  // [R]
  float* l = m + R;                          // [R]

  for (int i = threadIdx.x; i < R * dim; i += kThreads) {
    // Rows that are not there repeat the first.
    const int row = i / dim < rows.count ? i / dim : 0;
    q[i] =
        args.q[rows.element(args, rows.sequence.q_offset, args.q_stride, row) +
               i % dim];
  }
  float total[D][R] = {};
  RowState state[R];
  const int64_t first_position = rows.position(0);
  const int64_t last_position = rows.position(rows.count - 1);
  for (int64_t split = rows.item.split_begin; split < rows.item.split_end;
       ++split) {
    const KeyRange keys =
        KeysOfSplit(first_position, last_position, args.window, split);
    __syncthreads();  // q is there; the split before is done with weights
    Scores<T, R>(args, rows, keys, split, q, weights);
    __syncthreads();
    for (int r = threadIdx.x / 32; r < R; r += kThreads / 32) {
      Weigh(rows.position(r < rows.count ? r : 0), args.window, split,
            weights + r * kRowWeights, rescale + r * kSplitBlocks,
            block_sums + r * kSplitBlocks, m + r, l + r);
    }
    __syncthreads();
    const bool first = split == rows.item.split_begin;
    RowMerge merge[R];
#pragma unroll
    for (int r = 0; r < R; ++r) {
      if (first) {
        state[r] = {m[r], l[r]};
      } else {
        merge[r] = MergeRow(state[r], {m[r], l[r]});
      }
    }
#pragma unroll
    for (int i = 0; i < D; ++i) {
      const int d = static_cast<int>(threadIdx.x) + i * kThreads;
      if (d >= dim) continue;
      float o[R];
      Values<T, R>(args, rows, keys, split, weights, rescale, d, o);
#pragma unroll
      for (int r = 0; r < R; ++r) {
        total[i][r] = first ? o[r] : merge[r](total[i][r], o[r]);
      }
    }
  }

#pragma unroll
  for (int r = 0; r < R; ++r) {
    if (r >= rows.count) break;
    const float scale = 1.0f / state[r].l;
    float* kept =
        rows.item.state < 0 ? nullptr : context.StateOf(rows.item.state, r);
    float* y =
        args.y + rows.element(args, rows.sequence.y_offset, args.y_stride, r);
#pragma unroll
    for (int i = 0; i < D; ++i) {
      const int d = static_cast<int>(threadIdx.x) + i * kThreads;
      if (d >= dim) continue;
      if (kept != nullptr) {
        kept[2 + d] = total[i][r];
      } else {
        y[d] = total[i][r] * scale;
      }
    }
    if (kept != nullptr && threadIdx.x == 0) {
      kept[0] = state[r].m;
      kept[1] = state[r].l;
    }
  }
}

// A block per row group whose splits were spread.
__global__ void MergeKernel(AttentionContext context) {
  const AttentionArgs& args = context.args;
  const AttentionMerge merge = context.launch.merges[blockIdx.x];
  const AttentionRows rows = RowsOf(context, merge.item);
  for (int r = 0; r < rows.count; ++r) {
    const float* first = context.StateOf(rows.item.state, r);
    float* y =
        args.y + rows.element(args, rows.sequence.y_offset, args.y_stride, r);
    for (int d = threadIdx.x; d < args.head_dim; d += blockDim.x) {
      RowState total = {first[0], first[1]};
      float o = first[2 + d];
      for (int s = 1; s < merge.count; ++s) {
        const float* next = context.StateOf(rows.item.state + s, r);
        o = MergeRow(total, {next[0], next[1]})(o, next[2 + d]);
      }
      y[d] = o * (1.0f / total.l);
    }
  }
}

template <typename T, int R>
void LaunchRows(const AttentionContext& context, KernelLine& line) {
  const int dim = context.args.head_dim;
  const size_t shared =
      R * (dim + kRowWeights + 2 * kSplitBlocks + 2) * sizeof(float);
  const dim3 grid(static_cast<unsigned>(context.launch.num_items));
  if (dim <= kThreads) {
    Launch(AttentionKernel<T, R, 1>, grid, dim3(kThreads), shared, line,
           context);
  } else {
    Launch(AttentionKernel<T, R, 2>, grid, dim3(kThreads), shared, line,
           context);
  }
}

template <typename T>
void LaunchType(const AttentionContext& context, KernelLine& line) {
  const int rows = context.launch.most_rows;
  if (rows == 1) {
    LaunchRows<T, 1>(context, line);
  } else if (rows == 2) {
    LaunchRows<T, 2>(context, line);
  } else if (rows <= 4) {
    LaunchRows<T, 4>(context, line);
  } else {
    LaunchRows<T, 8>(context, line);
  }
}

}  // namespace

void Attention(const AttentionArgs& first, const AttentionLaunch& launch,
               float* states, KernelLine& line) {
  FACET_CHECK(first.head_dim % kLanes == 0 && first.head_dim <= 2 * kThreads);
  AttentionContext context = {first, launch, states};
  // Sequences have their own of these; calls of one shape are equal without.
  context.args.tokens = 0;
  context.args.first_position = 0;
  context.args.pages = nullptr;
  context.args.first_page = 0;
  if (AttentionUsesTensorCores(first)) {
    TensorAttention(context, line);
  } else if (first.kv_dtype == DType::kF32) {
    LaunchType<float>(context, line);
  } else {
    LaunchType<BF16>(context, line);
  }
  Launch(MergeKernel, dim3(static_cast<unsigned>(launch.num_merges)),
         dim3(kThreads), 0, line, context);
}

}  // namespace FACET_CUDA
}  // namespace facet
