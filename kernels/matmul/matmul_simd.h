// A block of rows of w against all rows of x, for the AVX2 and AVX-512
// variants: x in strips of up to kTileM rows, each strip by all tiles of the
// block.
//
// A block is read from memory once and found in the second-level cache by the
// strips behind the first. So that memory works while they compute, the strips
// of one block ask for the next one, a share each.
#ifndef FACET_KERNELS_MATMUL_MATMUL_SIMD_H_
#define FACET_KERNELS_MATMUL_MATMUL_SIMD_H_

#include "kernels/base/simd.h"
#include "kernels/matmul/matmul_tile.h"
#include "kernels/matmul/matmul_variants.h"

namespace facet {
namespace FACET_SIMD {

#if defined(__AVX512BF16__)
FACET_INLINE void RoundRow(const float* x, int64_t k, BF16* out) {
  int64_t at = 0;
  for (; at + 16 <= k; at += 16) {
    _mm256_storeu_si256(
        reinterpret_cast<__m256i*>(out + at),
        reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(_mm512_loadu_ps(x + at))));
  }
  for (; at < k; ++at) out[at] = ToBF16(x[at]);
}
#endif

FACET_INLINE void RoundRow(const float* x, int64_t k, float* out) {
  for (int64_t at = 0; at < k; ++at) out[at] = ToFloat(ToBF16(x[at]));
}

// The rows of a block and behind them those of the next one.
struct AheadRows {
  const uint8_t* At(int64_t row) const {
    if (row >= rows && next != nullptr) {
      row -= rows;
      return next + (row < next_rows ? row : next_rows - 1) * next_stride;
    }
    return first + (row < rows ? row : rows - 1) * stride;
  }

  const uint8_t* first;
  int64_t rows, stride;  // bytes
  const uint8_t* next;   // null: none
  int64_t next_rows, next_stride;
};

template <typename X, typename W>
struct StripArgs {
  const X* x[kTileM];
  const W* w;
  int64_t w_stride;
  int64_t n;     // rows of w
  int64_t part;  // k of one segment
  int segments;
  float* out;  // [segments, kTileM, n]
  int64_t out_stride, segment_stride;
  float* carry;   // kTileM * n * 16 floats
  float* packed;  // kTileM rows of a piece of k
  AheadRows ahead;
  int64_t ahead_row;  // the first to ask for
};

// A strip of MR rows; each tile asks for P rows, the tiles behind the last
// whole one for one at most.
template <int MR, int P, typename X, typename W>
void Strip(const StripArgs<X, W>& strip) {
  constexpr int NR = kTileN<MR>;
  TileArgs<MR, X, W> tile;
  tile.w_stride = strip.w_stride;
  tile.out_stride = strip.out_stride;
  tile.ahead_stride = strip.ahead.stride;
  const auto run = [&]<int N>(int64_t j, int segment, int64_t from, int64_t to)
      __attribute__((always_inline)) {
    const int64_t k = segment * strip.part + from;
    if constexpr (kTileK<MR> == 0) {
      for (int i = 0; i < MR; ++i) tile.x[i] = strip.x[i] + k;
    } else {
      tile.x[0] = strip.packed;
    }
    tile.w = strip.w + j * strip.w_stride + k;
    tile.k = to - from;
    if constexpr (P > 0) {
      tile.ahead = strip.ahead.At(strip.ahead_row + j / NR * P + j % NR) +
                   k * static_cast<int64_t>(sizeof(W));
    }
    tile.out = strip.out + segment * strip.segment_stride + j;
    tile.carry = strip.carry + j * MR * 16;
    tile.first = from == 0;
    tile.last = to == strip.part;
    Tile<MR, N, N == NR ? P : P == NR ? 1 : 0>(tile);
  };
  if constexpr (kTileK<MR> == 0) {
    // Along each row of w.
    const auto whole_rows = [&]<int N>(int64_t j)
        __attribute__((always_inline)) {
      for (int s = 0; s < strip.segments; ++s) {
        run.template operator()<N>(j, s, 0, strip.part);
      }
    };
    int64_t j = 0;
    for (; j + NR <= strip.n; j += NR) whole_rows.template operator()<NR>(j);
    for (; j < strip.n; ++j) whole_rows.template operator()<1>(j);
  } else {
    for (int s = 0; s < strip.segments; ++s) {
      for (int64_t from = 0; from < strip.part; from += kTileK<MR>) {
        const int64_t to =
            from + kTileK<MR> < strip.part ? from + kTileK<MR> : strip.part;
        const X* x[MR];
        for (int i = 0; i < MR; ++i) x[i] = strip.x[i] + s * strip.part + from;
        PackForHalves<MR>(x, to - from, strip.packed);
        int64_t j = 0;
        for (; j + NR <= strip.n; j += NR) {
          run.template operator()<NR>(j, s, from, to);
        }
        for (; j < strip.n; ++j) run.template operator()<1>(j, s, from, to);
      }
    }
  }
}

// `shares`: by how many strips the next block is asked for; 0: not at all.
// Adds to `ahead_row` the rows that this strip asks for.
template <int MR, typename X, typename W>
void StripOf(int shares, StripArgs<X, W>& strip) {
  constexpr int NR = kTileN<MR>;
  const int64_t tiles = strip.n / NR;
  switch (shares) {
    case 0:
      return Strip<MR, 0>(strip);
    case 1:
      Strip<MR, NR>(strip);
      strip.ahead_row += strip.n;
      return;
    case 2:
      Strip<MR, (NR + 1) / 2>(strip);
      strip.ahead_row += tiles * ((NR + 1) / 2);
      return;
    default:
      Strip<MR, (NR + 2) / 3>(strip);
      strip.ahead_row += tiles * ((NR + 2) / 3);
  }
}

template <typename X, typename W>
void StripOfRows(int rows, int shares, StripArgs<X, W>& strip) {
  switch (rows) {
    case 1:
      return StripOf<1>(shares, strip);
    case 2:
      return StripOf<2>(shares, strip);
    case 3:
      return StripOf<3>(shares, strip);
    case 4:
      return StripOf<4>(shares, strip);
    default:
      if constexpr (kTileM > 4) {
        return StripOf<5>(shares, strip);
      }
  }
}

// At least kAheadBytes of whole tiles.
template <typename W>
FACET_INLINE int64_t RowsAhead(int64_t row_weights) {
  constexpr int kTileRows = 6;
  constexpr int64_t kAheadBytes = 8 << 10;
  const int64_t tile_bytes =
      kTileRows * row_weights * static_cast<int64_t>(sizeof(W));
  return (kAheadBytes + tile_bytes - 1) / tile_bytes * kTileRows;
}

// X is float, or BF16 where a dot-product instruction takes pairs.
// scratch: partial sums [segments, kTileM, n], carried lanes, rounded rows of
// x.
template <typename X, typename W>
void MatmulBlock(const MatmulArgs& args, int64_t n_begin, int64_t n_end,
                 const MatmulStream& stream, float* scratch) {
  const int64_t n = n_end - n_begin;
  float* partial = scratch;
  StripArgs<X, W> strip;
  strip.w = static_cast<const W*>(args.w) + n_begin * args.w_stride;
  strip.w_stride = args.w_stride;
  strip.n = n;
  strip.part = args.k / args.segments;
  strip.segments = args.segments;
  strip.segment_stride = kTileM * n;
  strip.carry = partial + args.segments * kTileM * n;
  strip.ahead = {reinterpret_cast<const uint8_t*>(strip.w),
                 n,
                 args.w_stride * static_cast<int64_t>(sizeof(W)),
                 static_cast<const uint8_t*>(stream.next),
                 stream.next_rows,
                 stream.next_stride};
  strip.packed = strip.carry + kTileM * n * 16;
  X* rounded = reinterpret_cast<X*>(strip.packed + kTileM * kMatmulMaxPiece);
  const int64_t strips = (args.m + kTileM - 1) / kTileM;
  // A strip that no other has asked for anything reads ahead for itself.
  const bool alone = strips == 1 || !stream.fetched;
  strip.ahead_row = alone ? RowsAhead<W>(args.k) : n;
  const int64_t end_row =
      stream.next != nullptr ? n + stream.next_rows : int64_t{0};
  int64_t m = 0;
  for (int64_t s = 0; s < strips; ++s) {
    const int rows =
        static_cast<int>((args.m - m + strips - s - 1) / (strips - s));
    for (int i = 0; i < rows; ++i) {
      const int64_t row = args.x_rows != nullptr ? args.x_rows[m + i] : m + i;
      const float* source = args.x + row * args.x_stride;
      if (sizeof(X) == sizeof(BF16) && args.x_rounded != nullptr) {
        strip.x[i] = reinterpret_cast<const X*>(args.x_rounded +
                                                row * args.x_rounded_stride);
      } else if (args.bf16_inputs) {
        RoundRow(source, args.k, rounded + i * args.k);
        strip.x[i] = rounded + i * args.k;
      } else {
        strip.x[i] = reinterpret_cast<const X*>(source);
      }
    }
    const bool direct = args.segments == 1;
    strip.out = direct ? args.y + m * args.y_stride + n_begin : partial;
    strip.out_stride = direct ? args.y_stride : n;
    int shares = 1;
    if (s > 0 || !alone) {
      const int64_t sharing = alone ? strips - 1 : strips;
      shares = strip.ahead_row >= end_row ? 0
               : sharing < 3              ? static_cast<int>(sharing)
                                          : 3;
    }
    StripOfRows(rows, shares, strip);
    if (!direct) {
      for (int step = 1; step < args.segments; step *= 2) {
        for (int t = 0; t < args.segments; t += 2 * step) {
          float* a = partial + t * kTileM * n;
          const float* b = partial + (t + step) * kTileM * n;
          for (int64_t q = 0; q < rows * n; ++q) a[q] += b[q];
        }
      }
      for (int i = 0; i < rows; ++i) {
        std::memcpy(args.y + (m + i) * args.y_stride + n_begin, partial + i * n,
                    n * sizeof(float));
      }
    }
    m += rows;
  }
}

}  // namespace FACET_SIMD
}  // namespace facet

#endif  // FACET_KERNELS_MATMUL_MATMUL_SIMD_H_
