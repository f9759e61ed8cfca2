// Weights that are noise: element i of a tensor is a function of the tensor and
// of i alone, so any slice can be drawn where it is needed, on the host and on
// a device, with the same bits.
//
// Elements 8 g to 8 g + 7 are the 16-bit halves of one block of Philox4x32-10
// with counter (g, number) and the seed as key, lower halves first. As a signed
// number s a half means (s + 1/2) / 2^15 * bound, rounded to bf16.
#ifndef FACET_KERNELS_RANDOM_WEIGHTS_RANDOM_WEIGHTS_H_
#define FACET_KERNELS_RANDOM_WEIGHTS_RANDOM_WEIGHTS_H_

#include <cstdint>

#include "kernels/base/dtype.h"
#include "kernels/base/host_device.h"
#include "kernels/sampling/philox.h"

namespace facet {

struct RandomTensor {
  uint64_t seed = 0;
  uint32_t number = 0;  // tensors of one seed have different ones
  float bound = 0;      // uniform in (-bound, bound); 0: every element is 1
};

inline constexpr int kRandomGroup = 8;

// Elements [8 group, 8 group + 8).
FACET_HOST_DEVICE inline void DrawGroup(const RandomTensor& tensor,
                                        int64_t group,
                                        BF16 (&out)[kRandomGroup]) {
  const uint64_t g = static_cast<uint64_t>(group);
  const std::array<uint32_t, 4> bits =
      Philox4x32({static_cast<uint32_t>(g), static_cast<uint32_t>(g >> 32),
                  tensor.number, 0},
                 {static_cast<uint32_t>(tensor.seed),
                  static_cast<uint32_t>(tensor.seed >> 32)});
  const float scale = tensor.bound / 32768.0f;
  for (int i = 0; i < kRandomGroup; ++i) {
    const auto half = static_cast<int16_t>(bits[i / 2] >> (i % 2 * 16));
    out[i] = ToBF16(tensor.bound > 0 ? (static_cast<float>(half) + 0.5f) * scale
                                     : 1.0f);
  }
}

// Elements first + r * stride + c of a tensor, r < rows and c < cols.
struct RandomSlice {
  int64_t first = 0;
  int64_t rows = 0;
  int64_t cols = 0;
  int64_t stride = 0;
};

// Groups that a row of `slice` may touch.
FACET_HOST_DEVICE inline int64_t GroupsOfRow(const RandomSlice& slice) {
  return (slice.cols + kRandomGroup - 2) / kRandomGroup + 1;
}

// What group `g` of row `r` holds of the slice, to y [rows, cols] without gaps.
FACET_HOST_DEVICE inline void DrawGroupOfRow(const RandomTensor& tensor,
                                             const RandomSlice& slice,
                                             int64_t r, int64_t g, BF16* y) {
  const int64_t begin = slice.first + r * slice.stride;
  const int64_t group = begin / kRandomGroup + g;
  if (group * kRandomGroup >= begin + slice.cols) return;
  BF16 values[kRandomGroup];
  DrawGroup(tensor, group, values);
  for (int i = 0; i < kRandomGroup; ++i) {
    const int64_t column = group * kRandomGroup + i - begin;
    if (column >= 0 && column < slice.cols) {
      y[r * slice.cols + column] = values[i];
    }
  }
}

// y: [rows, cols], without gaps.
inline void DrawOnHost(const RandomTensor& tensor, const RandomSlice& slice,
                       BF16* y) {
  for (int64_t r = 0; r < slice.rows; ++r) {
    for (int64_t g = 0; g < GroupsOfRow(slice); ++g) {
      DrawGroupOfRow(tensor, slice, r, g, y);
    }
  }
}

}  // namespace facet

#endif  // FACET_KERNELS_RANDOM_WEIGHTS_RANDOM_WEIGHTS_H_
