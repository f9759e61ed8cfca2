// Weights of tokens as whole numbers, so that their sums depend on no order:
// any cut of the vocabulary over ranks, threads and lanes gives the same draw.
#ifndef FACET_KERNELS_SAMPLING_MASS_H_
#define FACET_KERNELS_SAMPLING_MASS_H_

#include <cmath>
#include <cstdint>

namespace facet {

// A weight of 1, that of the best token. A vocabulary of 2^23 tokens fits.
inline constexpr uint64_t kMassOfBest = uint64_t{1} << 40;

// The nearest number of units, ties to even. REQUIRES: 0 <= weight <= 1.
inline uint64_t ToMass(float weight) {
  const double units = (double{weight} + 0x1.8p12) - 0x1.8p12;
  return static_cast<uint64_t>(units * 0x1p40);
}

// The least mass that is at least `share` of `total`; `share` counts to 2^-40.
// REQUIRES: 0 <= share <= 1.
inline uint64_t ShareOf(uint64_t total, float share) {
  __extension__ using Wide = unsigned __int128;
  const auto units = static_cast<uint64_t>(std::rint(double{share} * 0x1p40));
  return static_cast<uint64_t>((Wide{total} * units + (kMassOfBest - 1)) >> 40);
}

// A point in [0, total): random / 2^64 of the way. REQUIRES: total > 0.
inline uint64_t PointIn(uint64_t total, uint64_t random) {
  __extension__ using Wide = unsigned __int128;
  return static_cast<uint64_t>(Wide{total} * random >> 64);
}

}  // namespace facet

#endif  // FACET_KERNELS_SAMPLING_MASS_H_
