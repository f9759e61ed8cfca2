// The operations of kernels/base/simd.h as plain functions on 16 floats, one
// table per instruction set, so that one test can hold them to kernels/base/
// math.h and to each other.
#ifndef FACET_KERNELS_BASE_SIMD_TEST_OPS_H_
#define FACET_KERNELS_BASE_SIMD_TEST_OPS_H_

#include <cstdint>

#include "kernels/base/cpu.h"
#include "kernels/base/dtype.h"

namespace facet {

struct SimdTestOps {
  using Unary = void (*)(const float* a, float* out);
  using Binary = void (*)(const float* a, const float* b, float* out);

  const char* name;
  Isa isa;
  Unary exp, tanh, gelu_tanh, softcap_30, abs, pow2;
  Binary add, subtract, multiply, divide, min, max, copy_sign;
  // a * b + c
  void (*fma)(const float* a, const float* b, const float* c, float* out);
  // a < b ? yes : no
  void (*select_less)(const float* a, const float* b, const float* yes,
                      const float* no, float* out);
  float (*reduce_add)(const float* a);
  float (*reduce_max)(const float* a);
  void (*set)(float value, float* out);
  void (*load_bf16)(const BF16* a, float* out);
  void (*load_partial)(const float* a, int n, float* out);
  void (*load_partial_bf16)(const BF16* a, int n, float* out);
  void (*load_n_or)(const float* a, int n, float fill, float* out);
  void (*store_partial)(const float* a, int n, float* out);
  // out[i] = a[i] + 1, i < count, by ForEach16().
  void (*add_one)(const float* a, int64_t count, float* out);
};

SimdTestOps SimdTestOpsPortable();
SimdTestOps SimdTestOpsAvx2();
SimdTestOps SimdTestOpsAvx512();
SimdTestOps SimdTestOpsAvx512Bf16();

}  // namespace facet

#endif  // FACET_KERNELS_BASE_SIMD_TEST_OPS_H_
