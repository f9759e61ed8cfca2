// AVX-512 with the bf16 dot product, which takes part only when x is rounded
// anyway.
#include "kernels/matmul/matmul_simd.h"

namespace facet {

void MatmulAvx512Bf16(const MatmulArgs& args, int64_t n_begin, int64_t n_end,
                      const MatmulStream& stream, float* scratch) {
  if (args.w_dtype == DType::kBF16 && args.bf16_inputs) {
    FACET_SIMD::MatmulBlock<BF16, BF16>(args, n_begin, n_end, stream, scratch);
  } else if (args.w_dtype == DType::kBF16) {
    FACET_SIMD::MatmulBlock<float, BF16>(args, n_begin, n_end, stream, scratch);
  } else {
    FACET_SIMD::MatmulBlock<float, float>(args, n_begin, n_end, stream,
                                          scratch);
  }
}

void RoundRowsAvx512Bf16(const MatmulArgs& args, int64_t begin, int64_t end,
                         BF16* rounded) {
  for (int64_t row = begin; row < end; ++row) {
    FACET_SIMD::RoundRow(args.x + row * args.x_stride, args.k,
                         rounded + row * args.x_rounded_stride);
  }
}

}  // namespace facet
