// Floats as integers that sort the other way round.
#ifndef FACET_KERNELS_SAMPLING_FALLING_KEY_H_
#define FACET_KERNELS_SAMPLING_FALLING_KEY_H_

#include <cstdint>
#include <cstring>

#include "kernels/base/host_device.h"

namespace facet {

// Falls as the logit rises; -0 and 0 share a key.
FACET_HOST_DEVICE inline uint32_t FallingKey(float logit) {
  const float value = logit + 0.0f;
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  return bits & 0x80000000u ? bits : ~bits & 0x7fffffffu;
}

// The logit of a key.
FACET_HOST_DEVICE inline float LogitOfKey(uint32_t key) {
  const uint32_t bits = key & 0x80000000u ? key : ~key & 0x7fffffffu;
  float logit;
  std::memcpy(&logit, &bits, sizeof(logit));
  return logit;
}

}  // namespace facet

#endif  // FACET_KERNELS_SAMPLING_FALLING_KEY_H_
