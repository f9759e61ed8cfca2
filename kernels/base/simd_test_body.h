// What the simd_test_<isa>.cc share: SimdTestOps made of F32x16.
#ifndef FACET_KERNELS_BASE_SIMD_TEST_BODY_H_
#define FACET_KERNELS_BASE_SIMD_TEST_BODY_H_

#include "kernels/base/simd_loop.h"
#include "kernels/base/simd_test_ops.h"

namespace facet {
namespace FACET_SIMD {

template <F32x16 (*kOp)(F32x16)>
void Unary(const float* a, float* out) {
  Store(kOp(Load(a)), out);
}

template <F32x16 (*kOp)(F32x16, F32x16)>
void Binary(const float* a, const float* b, float* out) {
  Store(kOp(Load(a), Load(b)), out);
}

inline F32x16 Add(F32x16 a, F32x16 b) { return a + b; }
inline F32x16 Subtract(F32x16 a, F32x16 b) { return a - b; }
inline F32x16 Multiply(F32x16 a, F32x16 b) { return a * b; }
inline F32x16 Divide(F32x16 a, F32x16 b) { return a / b; }
inline F32x16 Softcap30(F32x16 a) { return Softcap(a, 30.0f); }

inline void FmaOf(const float* a, const float* b, const float* c, float* out) {
  Store(Fma(Load(a), Load(b), Load(c)), out);
}

inline void SelectLess(const float* a, const float* b, const float* yes,
                       const float* no, float* out) {
  Store(Select(Less(Load(a), Load(b)), Load(yes), Load(no)), out);
}

inline float ReduceAddOf(const float* a) { return ReduceAdd(Load(a)); }
inline float ReduceMaxOf(const float* a) { return ReduceMax(Load(a)); }
inline void SetOf(float value, float* out) { Store(Set(value), out); }
inline void LoadBf16(const BF16* a, float* out) { Store(Load(a), out); }

template <typename T>
void LoadPartialOf(const T* a, int n, float* out) {
  Store(LoadPartial(a, n), out);
}

inline void LoadNOrOf(const float* a, int n, float fill, float* out) {
  Store(LoadNOr(a, n, fill), out);
}

inline void StorePartialOf(const float* a, int n, float* out) {
  StorePartial(Load(a), out, n);
}

inline void AddOne(const float* a, int64_t count, float* out) {
  ForEach16(count, [&](int64_t i, int n) FACET_INLINE_LAMBDA {
    StoreN(LoadN(a + i, n) + Set(1.0f), out + i, n);
  });
}

inline SimdTestOps Ops(const char* name, Isa isa) {
  SimdTestOps ops;
  ops.name = name;
  ops.isa = isa;
  ops.exp = &Unary<&Exp>;
  ops.tanh = &Unary<&Tanh>;
  ops.gelu_tanh = &Unary<&GeluTanh>;
  ops.softcap_30 = &Unary<&Softcap30>;
  ops.abs = &Unary<&Abs>;
  ops.pow2 = &Unary<&Pow2>;
  ops.add = &Binary<&Add>;
  ops.subtract = &Binary<&Subtract>;
  ops.multiply = &Binary<&Multiply>;
  ops.divide = &Binary<&Divide>;
  ops.min = &Binary<&Min>;
  ops.max = &Binary<&Max>;
  ops.copy_sign = &Binary<&CopySign>;
  ops.fma = &FmaOf;
  ops.select_less = &SelectLess;
  ops.reduce_add = &ReduceAddOf;
  ops.reduce_max = &ReduceMaxOf;
  ops.set = &SetOf;
  ops.load_bf16 = &LoadBf16;
  ops.load_partial = &LoadPartialOf<float>;
  ops.load_partial_bf16 = &LoadPartialOf<BF16>;
  ops.load_n_or = &LoadNOrOf;
  ops.store_partial = &StorePartialOf;
  ops.add_one = &AddOne;
  return ops;
}

}  // namespace FACET_SIMD
}  // namespace facet

#endif  // FACET_KERNELS_BASE_SIMD_TEST_BODY_H_
