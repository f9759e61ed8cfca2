// Copies of 16 bytes from global to shared memory that run while the thread
// goes on. Groups finish in the order they were committed.
#ifndef FACET_KERNELS_CUDA_ASYNC_COPY_H_
#define FACET_KERNELS_CUDA_ASYNC_COPY_H_

#include "kernels/cuda/launch.h"

namespace facet {
namespace FACET_CUDA {

#if !defined(__CUDA_ARCH__) && !defined(__CUDACC__)
struct alignas(16) CopiedPiece {
  uint64_t words[2];
};
inline void BeginEmulatedCopy(void* shared, const void* global) {
  *static_cast<CopiedPiece*>(shared) = {{~uint64_t{0}, ~uint64_t{0}}};
  emulated::BeginCopy({shared, global});
}
#endif

// Both addresses are multiples of 16. Past the first-level cache: what streams
// by once is not kept there.
__device__ inline void CopyAsync(void* shared, const void* global) {
#if defined(__CUDA_ARCH__)
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(
                   static_cast<unsigned>(__cvta_generic_to_shared(shared))),
               "l"(global));
#elif !defined(__CUDACC__)
  BeginEmulatedCopy(shared, global);
#endif
}

// The same, or zeros where `copy` is not set: nothing is read then.
__device__ inline void CopyAsyncOrZero(void* shared, const void* global,
                                       bool copy) {
#if defined(__CUDA_ARCH__)
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(
                   static_cast<unsigned>(__cvta_generic_to_shared(shared))),
               "l"(global), "r"(copy ? 16 : 0));
#elif !defined(__CUDACC__)
  BeginEmulatedCopy(shared, copy ? global : nullptr);
#endif
}

__device__ inline void CommitCopies() {
#if defined(__CUDA_ARCH__)
  asm volatile("cp.async.commit_group;");
#elif !defined(__CUDACC__)
  emulated::CommitCopyGroup();
#endif
}

// Waits until all but the newest `kPending` groups of this thread are there.
template <int kPending>
__device__ inline void WaitForCopies() {
#if defined(__CUDA_ARCH__)
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending));
#elif !defined(__CUDACC__)
  emulated::AsyncCopy copy;
  while (emulated::LandCopy(kPending, &copy)) {
    *static_cast<CopiedPiece*>(copy.to) =
        copy.from == nullptr ? CopiedPiece()
                             : *static_cast<const CopiedPiece*>(copy.from);
  }
#endif
}

}  // namespace FACET_CUDA
}  // namespace facet

#endif  // FACET_KERNELS_CUDA_ASYNC_COPY_H_
