#include "kernels/matmul/matmul_simd.h"

namespace facet {

void MatmulAvx512(const MatmulArgs& args, int64_t n_begin, int64_t n_end,
                  const MatmulStream& stream, float* scratch) {
  if (args.w_dtype == DType::kBF16) {
    FACET_SIMD::MatmulBlock<float, BF16>(args, n_begin, n_end, stream, scratch);
  } else {
    FACET_SIMD::MatmulBlock<float, float>(args, n_begin, n_end, stream,
                                          scratch);
  }
}

}  // namespace facet
