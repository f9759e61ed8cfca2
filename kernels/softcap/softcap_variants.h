// The functions behind SoftcapVariants(); private to this folder.
#ifndef FACET_KERNELS_SOFTCAP_SOFTCAP_VARIANTS_H_
#define FACET_KERNELS_SOFTCAP_SOFTCAP_VARIANTS_H_

#include "kernels/softcap/softcap.h"

namespace facet {

void SoftcapReference(float* x, int64_t count, float cap);
void SoftcapAvx2(float* x, int64_t count, float cap);
void SoftcapAvx512(float* x, int64_t count, float cap);

}  // namespace facet

#endif  // FACET_KERNELS_SOFTCAP_SOFTCAP_VARIANTS_H_
