#include "kernels/router/router_simd.h"

namespace facet {

void RouterAvx2(const RouterArgs& args, int64_t begin, int64_t end) {
  FACET_SIMD::RouteTokens(args, begin, end);
}

}  // namespace facet
