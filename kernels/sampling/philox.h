// Philox4x32-10: 128 random bits from a counter and a key, by ten rounds of
// multiplication and exclusive or. No state, so any position of any stream can
// be had on any machine. Source: Salmon et al., "Parallel random numbers: as
// easy as 1, 2, 3", SC 2011.
#ifndef FACET_KERNELS_SAMPLING_PHILOX_H_
#define FACET_KERNELS_SAMPLING_PHILOX_H_

#include <array>
#include <cstdint>

namespace facet {

std::array<uint32_t, 4> Philox4x32(std::array<uint32_t, 4> counter,
                                   std::array<uint32_t, 2> key);

}  // namespace facet

#endif  // FACET_KERNELS_SAMPLING_PHILOX_H_
