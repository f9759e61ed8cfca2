#include "kernels/base/math.h"
#include "kernels/gated_gelu/gated_gelu_variants.h"

namespace facet {

void GatedGeluReference(const GatedGeluArgs& args, int64_t begin, int64_t end) {
  for (int64_t t = begin; t < end; ++t) {
    for (int64_t i = 0; i < args.width; ++i) {
      args.y[t * args.y_stride + i] =
          GeluTanh(args.gate[t * args.gate_stride + i]) *
          args.up[t * args.up_stride + i];
    }
  }
}

}  // namespace facet
