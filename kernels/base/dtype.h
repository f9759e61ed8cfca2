// Element types of tensors, and bf16 conversions.
#ifndef FACET_KERNELS_BASE_DTYPE_H_
#define FACET_KERNELS_BASE_DTYPE_H_

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "kernels/base/host_device.h"

namespace facet {

enum class DType : uint8_t { kF32, kBF16, kF16, kI32, kI64, kU8 };

FACET_HOST_DEVICE inline size_t SizeOf(DType dtype) {
  switch (dtype) {
    case DType::kF32:
    case DType::kI32:
      return 4;
    case DType::kBF16:
    case DType::kF16:
      return 2;
    case DType::kI64:
      return 8;
    case DType::kU8:
      return 1;
  }
  return 0;
}

// The spelling of safetensors headers.
inline const char* Name(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return "F32";
    case DType::kBF16:
      return "BF16";
    case DType::kF16:
      return "F16";
    case DType::kI32:
      return "I32";
    case DType::kI64:
      return "I64";
    case DType::kU8:
      return "U8";
  }
  return "?";
}

// The bits of a bfloat16: the upper half of an f32.
struct BF16 {
  uint16_t bits = 0;
};

FACET_HOST_DEVICE __attribute__((always_inline)) inline float ToFloat(
    BF16 value) {
  const uint32_t bits = static_cast<uint32_t>(value.bits) << 16;
  float result;
  std::memcpy(&result, &bits, sizeof(result));
  return result;
}

// Rounds to nearest, ties to even; a NaN stays a NaN.
FACET_HOST_DEVICE __attribute__((always_inline)) inline BF16 ToBF16(
    float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  if ((bits & 0x7fffffffu) > 0x7f800000u) {
    return {static_cast<uint16_t>((bits >> 16) | 0x40u)};
  }
  return {static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16)};
}

}  // namespace facet

#endif  // FACET_KERNELS_BASE_DTYPE_H_
