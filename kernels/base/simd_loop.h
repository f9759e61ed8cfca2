// Walking a row of any width in steps of sixteen lanes. Under the rules of
// kernels/base/simd.h: only for files compiled for one instruction set.
#ifndef FACET_KERNELS_BASE_SIMD_LOOP_H_
#define FACET_KERNELS_BASE_SIMD_LOOP_H_

#include "kernels/base/simd.h"

namespace facet {
namespace FACET_SIMD {

// Put behind the parameters of a lambda given to ForEach16().
#define FACET_INLINE_LAMBDA __attribute__((always_inline))

// Calls body(i, n) for the runs [i, i + n) of [0, count): n is 16 in all but
// perhaps the last. Once inlined, LoadN() and StoreN() know which of both it
// is.
template <typename Body>
FACET_INLINE void ForEach16(int64_t count, Body body) {
  int64_t i = 0;
  for (; i + 16 <= count; i += 16) body(i, 16);
  if (i < count) body(i, static_cast<int>(count - i));
}

// Lanes from n on are 0.
template <typename T>
FACET_INLINE F32x16 LoadN(const T* p, int n) {
  return n == 16 ? Load(p) : LoadPartial(p, n);
}

// Lanes from n on are `fill`.
FACET_INLINE F32x16 LoadNOr(const float* p, int n, float fill) {
  if (n == 16) return Load(p);
  float buffer[16];
  Store(Set(fill), buffer);
  std::memcpy(buffer, p, sizeof(float) * n);
  return Load(buffer);
}

FACET_INLINE void StoreN(F32x16 a, float* p, int n) {
  if (n == 16) {
    Store(a, p);
  } else {
    StorePartial(a, p, n);
  }
}

}  // namespace FACET_SIMD
}  // namespace facet

#endif  // FACET_KERNELS_BASE_SIMD_LOOP_H_
