// cuBLAS of the emulation: what its documentation says of a product, computed
// on the host when the stream comes to it. Arguments that cuBLAS refuses are
// refused, the workspace is written to, and sums are added in an order that is
// not Facet's.
#ifndef FACET_KERNELS_CUDA_EMULATED_CUBLAS_H_
#define FACET_KERNELS_CUDA_EMULATED_CUBLAS_H_

namespace facet {
namespace FACET_CUDA {

// While one lives, FindCublas() finds nothing.
class HideCublas {
 public:
  HideCublas();
  ~HideCublas();
};

}  // namespace FACET_CUDA
}  // namespace facet

#endif  // FACET_KERNELS_CUDA_EMULATED_CUBLAS_H_
