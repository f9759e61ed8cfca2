// The functions behind RouterVariants(); private to this folder.
#ifndef FACET_KERNELS_ROUTER_ROUTER_VARIANTS_H_
#define FACET_KERNELS_ROUTER_ROUTER_VARIANTS_H_

#include "kernels/router/router.h"

namespace facet {

void RouterReference(const RouterArgs& args, int64_t begin, int64_t end);
void RouterAvx2(const RouterArgs& args, int64_t begin, int64_t end);
void RouterAvx512(const RouterArgs& args, int64_t begin, int64_t end);

// The second half, alike in all variants: from args.probabilities to
// args.chosen and args.weights.
void ChooseExperts(const RouterArgs& args, int64_t begin, int64_t end);

}  // namespace facet

#endif  // FACET_KERNELS_ROUTER_ROUTER_VARIANTS_H_
