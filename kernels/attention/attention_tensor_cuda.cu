// Attention on tensor cores: q and the weights of keys rounded to bf16, keys
// and values as the pages have them, sums in f32. Keys are walked in the blocks
// and splits of kernels/attention/attention.h. A row's bits depend on nothing
// but itself and its keys: how many rows share a block of threads changes none.
#include "kernels/attention/attention_rows_cuda.h"
#include "kernels/attention/attention_tensor_cuda.h"
#include "kernels/attention/attention_tensor_cuda_plan.h"
#include "kernels/cuda/async_copy.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/operations.h"
#include "kernels/cuda/tensor_core.h"

namespace facet {
namespace FACET_CUDA {
namespace {

constexpr int kThreads = kTensorAttentionThreads;

// Keys or values of `count` blocks of 32 positions from `first` on. What none
// of the rows sees is zero: pages may hold anything there, and 0 times it must
// be 0.
template <int kDim>
__device__ void CopyBlocks(const AttentionArgs& args, const AttentionRows& rows,
                           KeyRange seen, int64_t first, int count,
                           const void* pages, int row_bytes,
                           unsigned char* to) {
  constexpr int kPieces = kDim / 8;
  for (int b = 0; b < count; ++b) {
    const int64_t block = first + int64_t{b} * kAttentionBlock;
    const BF16* from =
        static_cast<const BF16*>(pages) + KeyElement(args, rows, block);
#pragma unroll 4
    for (int i = static_cast<int>(threadIdx.x); i < kAttentionBlock * kPieces;
         i += kThreads) {
      const int row = i / kPieces, piece = i % kPieces;
      CopyAsyncOrZero(to + (b * kAttentionBlock + row) * row_bytes + 16 * piece,
                      from + row * kDim + 8 * piece,
                      block + row >= seen.begin && block + row < seen.end);
    }
  }
  CommitCopies();
}

// Scores of all rows with this warp's keys: kBlocks groups of eight.
template <int kTiles, int kDim, int kBlocks>
__device__ void BlockScores(const TensorAttentionLayout& at,
                            unsigned char* shared) {
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const TilePlace place = PlaceOfLane(lane);
  const unsigned char* q =
      shared + at.q + place.row * at.row_bytes + 2 * place.column;
  const unsigned char* k = shared + at.k +
                           (8 * kBlocks * warp + lane % 8) * at.row_bytes +
                           lane / 8 * 16;
  float sums[kTiles][kBlocks][4] = {};
#pragma unroll 4
  for (int d = 0; d < kDim; d += 32) {
    uint32_t b[kBlocks][4];
#pragma unroll
    for (int group = 0; group < kBlocks; ++group) {
      LoadMatrices(k + 8 * group * at.row_bytes + 2 * d, b[group]);
    }
#pragma unroll
    for (int tile = 0; tile < kTiles; ++tile) {
      const unsigned char* own = q + tile * kTileRows * at.row_bytes + 2 * d;
      uint32_t a[2][4];
      LoadMatrices(own, a[0]);
      LoadMatrices(own + 32, a[1]);
#pragma unroll
      for (int group = 0; group < kBlocks; ++group) {
        float(&sum)[4] = sums[tile][group];
        MultiplyAdd16x8x16(a[0], {b[group][0], b[group][1]}, sum);
        MultiplyAdd16x8x16(a[1], {b[group][2], b[group][3]}, sum);
      }
    }
  }
  float* scores = reinterpret_cast<float*>(shared + at.scores);
#pragma unroll
  for (int group = 0; group < kBlocks; ++group) {
    const int key = 8 * (kBlocks * warp + group);
    float* block =
        scores + key / kAttentionBlock * kTiles * kTileRows * kScoreStride;
#pragma unroll
    for (int tile = 0; tile < kTiles; ++tile) {
      float* to = block + (tile * kTileRows + lane / 4) * kScoreStride +
                  key % kAttentionBlock + lane % 4 * 2;
      const float(&sum)[4] = sums[tile][group];
      to[0] = sum[0];
      to[1] = sum[1];
      to[8 * kScoreStride] = sum[2];
      to[8 * kScoreStride + 1] = sum[3];
    }
  }
}

// Scores of `count` blocks become rounded weights, block behind block: eight
// threads a row, four keys each. m and l of the split move on.
template <int kTiles>
__device__ void BlockWeights(const AttentionArgs& args,
                             const AttentionRows& rows, int64_t first_block,
                             int count, const TensorAttentionLayout& at,
                             unsigned char* shared) {
  constexpr int kRows = kTiles * kTileRows;
  float* const m = reinterpret_cast<float*>(shared + at.m);
  float* const l = reinterpret_cast<float*>(shared + at.l);
  const int first = static_cast<int>(threadIdx.x) % 8 * 4;
#pragma unroll
  for (int tile = 0; tile < kTiles; ++tile) {
    const int row = tile * kTileRows + static_cast<int>(threadIdx.x) / 8;
    const int64_t position = rows.position(row < rows.count ? row : 0);
    float before = m[row], so_far = l[row];
    for (int b = 0; b < count; ++b) {
      const SeenKeys seen = SeenInBlock(
          position, args.window, first_block + int64_t{b} * kAttentionBlock);
      const float4 four = *reinterpret_cast<const float4*>(
          shared + at.scores + 4 * ((b * kRows + row) * kScoreStride + first));
      const float scores[4] = {four.x, four.y, four.z, four.w};
      float largest = MinusInfinity();
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const bool sees = first + i >= seen.lo && first + i < seen.hi;
        if (sees && largest < scores[i]) largest = scores[i];
      }
#pragma unroll
      for (int by = 1; by < 8; by *= 2) {
        const float other = __shfl_xor_sync(kFullWarp, largest, by);
        largest = largest < other ? other : largest;
      }
      largest = largest < before ? before : largest;
      const float rescale = seen.lo < seen.hi ? Exp(before - largest) : 1.0f;
      BF16 weights[4];
      float rounded[4];
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const bool sees = first + i >= seen.lo && first + i < seen.hi;
        weights[i] = ToBF16(sees ? Exp(scores[i] - largest) : 0.0f);
        rounded[i] = ToFloat(weights[i]);
      }
      // What values are multiplied by is what is divided by in the end.
      float sum = (rounded[0] + rounded[1]) + (rounded[2] + rounded[3]);
#pragma unroll
      for (int by = 1; by < 8; by *= 2) {
        sum += __shfl_xor_sync(kFullWarp, sum, by);
      }
      uint32_t* to = reinterpret_cast<uint32_t*>(
          shared + at.weights + (b * kRows + row) * kWeightRowBytes +
          2 * first);
      to[0] = weights[0].bits | static_cast<uint32_t>(weights[1].bits) << 16;
      to[1] = weights[2].bits | static_cast<uint32_t>(weights[3].bits) << 16;
      if (first == 0) {
        reinterpret_cast<float*>(shared + at.rescale)[b * kRows + row] =
            rescale;
      }
      so_far = fmaf(so_far, rescale, sum);
      before = largest;
    }
    // All eight have read what the first one writes.
    __syncwarp();
    if (first == 0) {
      l[row] = so_far;
      m[row] = before;
    }
  }
}

// Sums of this warp's dimensions over the values of block `b`.
template <int kTiles, int kDim>
__device__ void BlockValues(const TensorAttentionLayout& at,
                            const unsigned char* shared, int b,
                            float (&o)[kTiles][kDim / 32][4]) {
  constexpr int kRows = kTiles * kTileRows;
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const TilePlace place = PlaceOfLane(lane);
  const float* rescale =
      reinterpret_cast<const float*>(shared + at.rescale) + b * kRows;
  uint32_t weights[kTiles][2][4];
#pragma unroll
  for (int tile = 0; tile < kTiles; ++tile) {
    const float upper = rescale[tile * kTileRows + lane / 4];
    const float lower = rescale[tile * kTileRows + lane / 4 + 8];
#pragma unroll
    for (int n = 0; n < kDim / 32; ++n) {
      o[tile][n][0] *= upper;
      o[tile][n][1] *= upper;
      o[tile][n][2] *= lower;
      o[tile][n][3] *= lower;
    }
    const unsigned char* own =
        shared + at.weights +
        (b * kRows + tile * kTileRows + place.row) * kWeightRowBytes +
        2 * place.column;
    LoadMatrices(own, weights[tile][0]);
    LoadMatrices(own + 32, weights[tile][1]);
  }
  const unsigned char* v = shared + at.v +
                           (b * kAttentionBlock + place.row) * at.row_bytes +
                           2 * (warp * (kDim / 4) + place.column);
#pragma unroll
  for (int n = 0; n < kDim / 32; n += 2) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      uint32_t values[4];
      LoadMatricesTransposed(v + half * 16 * at.row_bytes + 16 * n, values);
#pragma unroll
      for (int tile = 0; tile < kTiles; ++tile) {
        MultiplyAdd16x8x16(weights[tile][half], {values[0], values[1]},
                           o[tile][n]);
        MultiplyAdd16x8x16(weights[tile][half], {values[2], values[3]},
                           o[tile][n + 1]);
      }
    }
  }
}

template <int kTiles, int kDim, int kBlocks>
__global__ void __launch_bounds__(kThreads)
    TensorAttentionKernel(AttentionContext context) {
  constexpr TensorAttentionLayout at = LayoutOf(kTiles, kDim, kBlocks);
  constexpr int kRows = kTiles * kTileRows;
  const AttentionArgs& args = context.args;
  const AttentionRows rows = RowsOf(context, blockIdx.x);
  unsigned char* shared = SharedMemory<unsigned char>();
  float* const m = reinterpret_cast<float*>(shared + at.m);
  float* const l = reinterpret_cast<float*>(shared + at.l);
  float* const total_m = reinterpret_cast<float*>(shared + at.total_m);
  float* const total_l = reinterpret_cast<float*>(shared + at.total_l);
  const int thread = static_cast<int>(threadIdx.x);
  const int lane = thread % 32;

  for (int i = thread; i < kRows * kDim / 2; i += kThreads) {
    const int row = i / (kDim / 2), d = i % (kDim / 2) * 2;
    // Rows that are not there repeat the first.
    const float* q =
        args.q + rows.element(args, rows.sequence.q_offset, args.q_stride,
                              row < rows.count ? row : 0);
    *reinterpret_cast<uint32_t*>(shared + at.q + row * at.row_bytes + 2 * d) =
        PackBF16(q[d], q[d + 1]);
  }
  const int64_t first_position = rows.position(0);
  const int64_t last_position = rows.position(rows.count - 1);
  KeyRange seen = {0, last_position + 1};
  if (args.window > 0 && first_position - args.window + 1 > 0) {
    seen.begin = first_position - args.window + 1;
  }
  for (int64_t split = rows.item.split_begin; split < rows.item.split_end;
       ++split) {
    const KeyRange keys =
        KeysOfSplit(first_position, last_position, args.window, split);
    float o[kTiles][kDim / 32][4] = {};
    // The split before is done with its m and l.
    __syncthreads();
    for (int row = thread; row < kRows; row += kThreads) {
      m[row] = MinusInfinity();
      l[row] = 0;
    }
    // Blocks from `block` on that are taken together.
    const auto together = [&](int64_t block) {
      const int64_t left =
          (keys.end - block + kAttentionBlock - 1) / kAttentionBlock;
      return static_cast<int>(left < kBlocks ? left : kBlocks);
    };
    CopyBlocks<kDim>(args, rows, seen, keys.begin, together(keys.begin), args.k,
                     at.row_bytes, shared + at.k);
    for (int64_t block = keys.begin; block < keys.end;
         block += kBlocks * kAttentionBlock) {
      const int count = together(block);
      const int64_t next = block + kBlocks * kAttentionBlock;
      WaitForCopies<0>();
      __syncthreads();  // keys are there, the values before are done with
      CopyBlocks<kDim>(args, rows, seen, block, count, args.v, at.row_bytes,
                       shared + at.v);
      // Of blocks that are not there too, which nobody reads.
      BlockScores<kTiles, kDim, kBlocks>(at, shared);
      __syncthreads();  // scores are there, keys are done with
      if (next < keys.end) {
        CopyBlocks<kDim>(args, rows, seen, next, together(next), args.k,
                         at.row_bytes, shared + at.k);
      } else {
        CommitCopies();
      }
      BlockWeights<kTiles>(args, rows, block, count, at, shared);
      WaitForCopies<1>();
      __syncthreads();  // values and weights are there
      for (int b = 0; b < count; ++b) {
        BlockValues<kTiles, kDim>(at, shared, b, o);
      }
    }

    const bool first = split == rows.item.split_begin;
    const bool last = split + 1 == rows.item.split_end;
    const int warp_dim = thread / 32 * (kDim / 4) + lane % 4 * 2;
#pragma unroll
    for (int tile = 0; tile < kTiles; ++tile) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int row = tile * kTileRows + lane / 4 + 8 * half;
        if (row >= rows.count) continue;
        float* y = rows.item.state < 0
                       ? args.y + rows.element(args, rows.sequence.y_offset,
                                               args.y_stride, row)
                       : context.StateOf(rows.item.state, row) + 2;
        RowState total = {total_m[row], total_l[row]};
        RowMerge merge;
        if (first) {
          total = {m[row], l[row]};
        } else {
          merge = MergeRow(total, {m[row], l[row]});
        }
        const float scale = last && rows.item.state < 0 ? 1.0f / total.l : 1.0f;
#pragma unroll
        for (int n = 0; n < kDim / 32; ++n) {
#pragma unroll
          for (int i = 0; i < 2; ++i) {
            float& to = y[warp_dim + 8 * n + i];
            // A sum that came to -0 is told from one without terms by nobody.
            float value = o[tile][n][2 * half + i] + 0.0f;
            // What earlier splits came to waits in y.
            if (!first) value = merge(to, value);
            to = value * scale;
          }
        }
      }
    }
    __syncthreads();  // totals are read
    for (int row = thread; row < rows.count; row += kThreads) {
      RowState total = {total_m[row], total_l[row]};
      if (first) {
        total = {m[row], l[row]};
      } else {
        MergeRow(total, {m[row], l[row]});
      }
      total_m[row] = total.m;
      total_l[row] = total.l;
      if (rows.item.state >= 0) {
        float* state = context.StateOf(rows.item.state, row);
        state[0] = total.m;
        state[1] = total.l;
      }
    }
  }
}

template <int kTiles, int kDim, int kBlocks>
void LaunchBlocks(const AttentionContext& context, KernelLine& line) {
  Launch(TensorAttentionKernel<kTiles, kDim, kBlocks>,
         dim3(static_cast<unsigned>(context.launch.num_items)), dim3(kThreads),
         LayoutOf(kTiles, kDim, kBlocks).bytes, line, context);
}

template <int kTiles, int kDim>
void LaunchTiles(const AttentionContext& context, KernelLine& line) {
  constexpr int kBlocks = TensorKeyBlocks(kTiles, kDim);
  if (LayoutOf(kTiles, kDim, kBlocks).bytes <= MostSharedBytes()) {
    LaunchBlocks<kTiles, kDim, kBlocks>(context, line);
  } else {
    LaunchBlocks<kTiles, kDim, 1>(context, line);
  }
}

template <int kDim>
void LaunchDim(const AttentionContext& context, KernelLine& line) {
  switch (TensorAttentionTiles(context.launch.most_rows)) {
    case 1:
      return LaunchTiles<1, kDim>(context, line);
    case 2:
      return LaunchTiles<2, kDim>(context, line);
    default:
      // Registers do not hold four tiles of the widest heads.
      return LaunchTiles < kDim <= 256 ? 4 : 2, kDim > (context, line);
  }
}

}  // namespace

void TensorAttention(const AttentionContext& context, KernelLine& line) {
  switch (context.args.head_dim) {
    case 64:
      return LaunchDim<64>(context, line);
    case 256:
      return LaunchDim<256>(context, line);
    default:
      return LaunchDim<512>(context, line);
  }
}

}  // namespace FACET_CUDA
}  // namespace facet
