// The functions behind MatmulVariants(); private to this folder.
#ifndef FACET_KERNELS_MATMUL_MATMUL_VARIANTS_H_
#define FACET_KERNELS_MATMUL_MATMUL_VARIANTS_H_

#include "kernels/matmul/matmul.h"

namespace facet {

// Most rows of w in one call of a variant, see MatmulScratchFloats().
inline constexpr int64_t kMatmulMaxBlock = 192;
// Most rows of x that a variant takes at a time.
inline constexpr int64_t kMatmulMaxStrip = 5;
// Most k of a strip that a variant puts into an order of its own.
inline constexpr int64_t kMatmulMaxPiece = 768;

void MatmulReference(const MatmulArgs& args, int64_t n_begin, int64_t n_end,
                     const MatmulStream& stream, float* scratch);
void MatmulAvx2(const MatmulArgs& args, int64_t n_begin, int64_t n_end,
                const MatmulStream& stream, float* scratch);
void MatmulAvx512(const MatmulArgs& args, int64_t n_begin, int64_t n_end,
                  const MatmulStream& stream, float* scratch);
void MatmulAvx512Bf16(const MatmulArgs& args, int64_t n_begin, int64_t n_end,
                      const MatmulStream& stream, float* scratch);

// Rows [begin, end) of x, whatever x_rows says, to rows of x_rounded_stride.
void RoundRowsAvx512Bf16(const MatmulArgs& args, int64_t begin, int64_t end,
                         BF16* rounded);

}  // namespace facet

#endif  // FACET_KERNELS_MATMUL_MATMUL_VARIANTS_H_
