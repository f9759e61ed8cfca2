// The functions behind RopeVariants(); private to this folder.
#ifndef FACET_KERNELS_ROPE_ROPE_VARIANTS_H_
#define FACET_KERNELS_ROPE_ROPE_VARIANTS_H_

#include "kernels/rope/rope.h"

namespace facet {

void RopeReference(const RopeArgs& args, int64_t begin, int64_t end);
void RopeAvx2(const RopeArgs& args, int64_t begin, int64_t end);
void RopeAvx512(const RopeArgs& args, int64_t begin, int64_t end);

}  // namespace facet

#endif  // FACET_KERNELS_ROPE_ROPE_VARIANTS_H_
