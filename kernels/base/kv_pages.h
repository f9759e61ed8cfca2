// Where keys and values lie in their pages, on either side of a device.
#ifndef FACET_KERNELS_BASE_KV_PAGES_H_
#define FACET_KERNELS_BASE_KV_PAGES_H_

#include <cstdint>

#include "kernels/base/host_device.h"

namespace facet {

// The first element of a position's head in k and v: `place` in `page`, whose
// shape is [kv_heads, page_tokens, head_dim]. `Args` says so in fields of these
// names; a page_stride of 0 means one page right behind the other.
//
// Inlined wherever it is used: files for different instruction sets share no
// copy.
template <typename Args>
FACET_HOST_DEVICE __attribute__((always_inline)) inline int64_t KvElement(
    const Args& args, int64_t page, int kv_head, int64_t place) {
  const int64_t stride =
      args.page_stride > 0
          ? args.page_stride
          : int64_t{args.kv_heads} * args.page_tokens * args.head_dim;
  return page * stride +
         (int64_t{kv_head} * args.page_tokens + place) * args.head_dim;
}

}  // namespace facet

#endif  // FACET_KERNELS_BASE_KV_PAGES_H_
