// The functions behind GatedGeluVariants(); private to this folder.
#ifndef FACET_KERNELS_GATED_GELU_GATED_GELU_VARIANTS_H_
#define FACET_KERNELS_GATED_GELU_GATED_GELU_VARIANTS_H_

#include "kernels/gated_gelu/gated_gelu.h"

namespace facet {

void GatedGeluReference(const GatedGeluArgs& args, int64_t begin, int64_t end);
void GatedGeluAvx2(const GatedGeluArgs& args, int64_t begin, int64_t end);
void GatedGeluAvx512(const GatedGeluArgs& args, int64_t begin, int64_t end);

}  // namespace facet

#endif  // FACET_KERNELS_GATED_GELU_GATED_GELU_VARIANTS_H_
