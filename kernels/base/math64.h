// Elementary functions in f64, from additions, multiplications and divisions
// alone: the C library's differ in the last bit between versions and machines,
// these do not. For tables and single numbers; lanes of f32 are in
// kernels/base/simd.h.
#ifndef FACET_KERNELS_BASE_MATH64_H_
#define FACET_KERNELS_BASE_MATH64_H_

namespace facet {

struct SinCos64 {
  double sin = 0;
  double cos = 0;
};

// Within 2^-51 of the true value. REQUIRES: |x| <= 2^22.
SinCos64 SinCos(double x);

// Within 2^-50 of the true value, relatively. REQUIRES: |x| <= 700.
double Exp64(double x);

// Within 2^-51 of the true value, relatively. REQUIRES: x is positive, normal
// and finite.
double Log64(double x);

}  // namespace facet

#endif  // FACET_KERNELS_BASE_MATH64_H_
