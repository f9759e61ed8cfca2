// The functions behind RmsNormVariants(); private to this folder.
#ifndef FACET_KERNELS_RMS_NORM_RMS_NORM_VARIANTS_H_
#define FACET_KERNELS_RMS_NORM_RMS_NORM_VARIANTS_H_

#include "kernels/rms_norm/rms_norm.h"

namespace facet {

void RmsNormReference(const RmsNormArgs& args, int64_t begin, int64_t end);
void RmsNormAvx2(const RmsNormArgs& args, int64_t begin, int64_t end);
void RmsNormAvx512(const RmsNormArgs& args, int64_t begin, int64_t end);

}  // namespace facet

#endif  // FACET_KERNELS_RMS_NORM_RMS_NORM_VARIANTS_H_
