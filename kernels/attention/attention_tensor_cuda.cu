// Attention on tensor cores: q and the weights of keys rounded to bf16, keys
// and values as the pages have them, sums in f32. Keys are walked in the blocks
// and splits of kernels/attention/attention.h. A row's bits depend on nothing
// but itself and its keys: how many rows share a block of threads changes none.
#include "kernels/attention/attention_rows_cuda.h"
#include "kernels/attention/attention_tensor_cuda.h"
#include "kernels/attention/attention_tensor_cuda_plan.h"
#include "kernels/cuda/async_copy.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/tensor_core.h"

namespace facet {
namespace FACET_CUDA {
namespace {

constexpr int kThreads = kTensorAttentionThreads;

// Keys or values of the 32 positions from `block` on. What none of the rows
// sees is zero: pages may hold anything there, and 0 times it must be 0.
__device__ void CopyBlock(const AttentionArgs& args, const AttentionRows& rows,
                          KeyRange seen, int64_t block, const void* pages,
                          int row_bytes, unsigned char* to) {
  const int pieces = args.head_dim / 8;
  const BF16* from =
      static_cast<const BF16*>(pages) + KeyElement(args, rows, block);
  for (int i = static_cast<int>(threadIdx.x); i < kAttentionBlock * pieces;
       i += kThreads) {
    const int row = i / pieces, piece = i % pieces;
    unsigned char* place = to + row * row_bytes + 16 * piece;
    if (block + row >= seen.begin && block + row < seen.end) {
      CopyAsync(place,
                from + static_cast<int64_t>(row) * args.head_dim + 8 * piece);
    } else {
      *reinterpret_cast<uint4*>(place) = uint4{0, 0, 0, 0};
    }
  }
  CommitCopies();
}

// Scores of all rows with this warp's eight keys of the block.
template <int kTiles, int kDim>
__device__ void BlockScores(const TensorAttentionLayout& at,
                            unsigned char* shared) {
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const TilePlace place = PlaceOfLane(lane);
  const unsigned char* q =
      shared + at.q + place.row * at.row_bytes + 2 * place.column;
  const unsigned char* k =
      shared + at.k + (8 * warp + lane % 8) * at.row_bytes + lane / 8 * 16;
  float sums[kTiles][4] = {};
#pragma unroll 4
  for (int d = 0; d < kDim; d += 32) {
    uint32_t b[4];
    LoadMatrices(k + 2 * d, b);
#pragma unroll
    for (int tile = 0; tile < kTiles; ++tile) {
      const unsigned char* own = q + tile * kTileRows * at.row_bytes + 2 * d;
      uint32_t a[4];
      LoadMatrices(own, a);
      MultiplyAdd16x8x16(a, {b[0], b[1]}, sums[tile]);
      LoadMatrices(own + 32, a);
      MultiplyAdd16x8x16(a, {b[2], b[3]}, sums[tile]);
    }
  }
  float* scores = reinterpret_cast<float*>(shared + at.scores);
#pragma unroll
  for (int tile = 0; tile < kTiles; ++tile) {
    float* to = scores + (tile * kTileRows + lane / 4) * kScoreStride +
                8 * warp + lane % 4 * 2;
    to[0] = sums[tile][0];
    to[1] = sums[tile][1];
    to[8 * kScoreStride] = sums[tile][2];
    to[8 * kScoreStride + 1] = sums[tile][3];
  }
}

// Scores of a block become rounded weights: eight threads a row, four keys
// each. m and l of the split move on.
template <int kTiles>
__device__ void BlockWeights(const AttentionArgs& args,
                             const AttentionRows& rows, int64_t block,
                             const TensorAttentionLayout& at,
                             unsigned char* shared) {
  float* const m = reinterpret_cast<float*>(shared + at.m);
  float* const l = reinterpret_cast<float*>(shared + at.l);
  const int first = static_cast<int>(threadIdx.x) % 8 * 4;
#pragma unroll
  for (int tile = 0; tile < kTiles; ++tile) {
    const int row = tile * kTileRows + static_cast<int>(threadIdx.x) / 8;
    const SeenKeys seen = SeenInBlock(rows.position(row < rows.count ? row : 0),
                                      args.window, block);
    const float4 four = *reinterpret_cast<const float4*>(
        shared + at.scores + 4 * (row * kScoreStride + first));
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
    const float before = m[row];
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
        shared + at.weights + row * kWeightRowBytes + 2 * first);
    to[0] = weights[0].bits | static_cast<uint32_t>(weights[1].bits) << 16;
    to[1] = weights[2].bits | static_cast<uint32_t>(weights[3].bits) << 16;
    if (first == 0) {
      reinterpret_cast<float*>(shared + at.rescale)[row] = rescale;
      l[row] = fmaf(l[row], rescale, sum);
      m[row] = largest;
    }
  }
}

// Sums of this warp's dimensions over the values of a block.
template <int kTiles, int kDim>
__device__ void BlockValues(const TensorAttentionLayout& at,
                            const unsigned char* shared,
                            float (&o)[kTiles][kDim / 32][4]) {
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const TilePlace place = PlaceOfLane(lane);
  const float* rescale = reinterpret_cast<const float*>(shared + at.rescale);
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
        shared + at.weights + (tile * kTileRows + place.row) * kWeightRowBytes +
        2 * place.column;
    LoadMatrices(own, weights[tile][0]);
    LoadMatrices(own + 32, weights[tile][1]);
  }
  const unsigned char* v = shared + at.v + place.row * at.row_bytes +
                           2 * (warp * (kDim / 4) + place.column);
#pragma unroll
  for (int n = 0; n < kDim / 32; n += 2) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      uint32_t b[4];
      LoadMatricesTransposed(v + half * 16 * at.row_bytes + 16 * n, b);
#pragma unroll
      for (int tile = 0; tile < kTiles; ++tile) {
        MultiplyAdd16x8x16(weights[tile][half], {b[0], b[1]}, o[tile][n]);
        MultiplyAdd16x8x16(weights[tile][half], {b[2], b[3]}, o[tile][n + 1]);
      }
    }
  }
}

template <int kTiles, int kDim>
__global__ void __launch_bounds__(kThreads)
    TensorAttentionKernel(AttentionContext context) {
  constexpr TensorAttentionLayout at = LayoutOf(kTiles, kDim);
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
    CopyBlock(args, rows, seen, keys.begin, args.k, at.row_bytes,
              shared + at.k);
    for (int64_t block = keys.begin; block < keys.end;
         block += kAttentionBlock) {
      WaitForCopies<0>();
      __syncthreads();  // keys are there, the values before are done with
      CopyBlock(args, rows, seen, block, args.v, at.row_bytes, shared + at.v);
      BlockScores<kTiles, kDim>(at, shared);
      __syncthreads();  // scores are there, keys are done with
      if (block + kAttentionBlock < keys.end) {
        CopyBlock(args, rows, seen, block + kAttentionBlock, args.k,
                  at.row_bytes, shared + at.k);
      } else {
        CommitCopies();
      }
      BlockWeights<kTiles>(args, rows, block, at, shared);
      WaitForCopies<1>();
      __syncthreads();  // values and weights are there
      BlockValues<kTiles, kDim>(at, shared, o);
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

template <int kTiles, int kDim>
void LaunchTiles(const AttentionContext& context, KernelLine& line) {
  Launch(TensorAttentionKernel<kTiles, kDim>,
         dim3(static_cast<unsigned>(context.launch.num_items)), dim3(kThreads),
         LayoutOf(kTiles, kDim).bytes, line, context);
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
