#include "kernels/base/math.h"
#include "kernels/softcap/softcap_variants.h"

namespace facet {

void SoftcapReference(float* x, int64_t count, float cap) {
  for (int64_t i = 0; i < count; ++i) x[i] = Softcap(x[i], cap);
}

}  // namespace facet
