// Philox4x32-10: 128 random bits from a counter and a key, by ten rounds of
// multiplication and exclusive or. No state, so any position of any stream can
// be had on any machine. Source: Salmon et al., "Parallel random numbers: as
// easy as 1, 2, 3", SC 2011.
#ifndef FACET_KERNELS_SAMPLING_PHILOX_H_
#define FACET_KERNELS_SAMPLING_PHILOX_H_

#include <array>
#include <cstdint>

#include "kernels/base/host_device.h"

namespace facet {

FACET_HOST_DEVICE inline std::array<uint32_t, 4> Philox4x32(
    std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t a = uint64_t{0xD2511F53u} * counter[0];
    const uint64_t b = uint64_t{0xCD9E8D57u} * counter[2];
    counter = {static_cast<uint32_t>(b >> 32) ^ counter[1] ^ key[0],
               static_cast<uint32_t>(b),
               static_cast<uint32_t>(a >> 32) ^ counter[3] ^ key[1],
               static_cast<uint32_t>(a)};
    // The golden ratio and sqrt(3) - 1.
    key[0] += 0x9E3779B9u;
    key[1] += 0xBB67AE85u;
  }
  return counter;
}

}  // namespace facet

#endif  // FACET_KERNELS_SAMPLING_PHILOX_H_
