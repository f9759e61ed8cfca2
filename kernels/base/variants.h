// A kernel's implementations: a list of structs with an `isa` field, best
// first, whose last is the reference.
#ifndef FACET_KERNELS_BASE_VARIANTS_H_
#define FACET_KERNELS_BASE_VARIANTS_H_

#include <cstddef>

#include "absl/types/span.h"
#include "kernels/base/cpu.h"

namespace facet {

// The part of the list that this machine runs.
template <typename Variant, size_t kCount>
absl::Span<const Variant> RunnableVariants(
    const Variant (&best_first)[kCount]) {
  size_t first = 0;
  while (best_first[first].isa > BestIsa()) ++first;
  return absl::MakeConstSpan(best_first + first, kCount - first);
}

// The best one that ActiveIsa() allows.
template <typename Variant, size_t kCount>
const Variant& ActiveVariant(const Variant (&best_first)[kCount]) {
  size_t first = 0;
  while (best_first[first].isa > ActiveIsa()) ++first;
  return best_first[first];
}

}  // namespace facet

#endif  // FACET_KERNELS_BASE_VARIANTS_H_
