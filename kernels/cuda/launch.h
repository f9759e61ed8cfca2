// What a .cu file is written against. The same source is compiled twice: by the
// CUDA compiler for a device, and by the host's compiler against an emulation
// that runs every thread of every block as a fiber, so that the kernels
// themselves, index by index, are tested on machines without a GPU.
//
// Inside kernels the language is CUDA's: threadIdx, __syncthreads(), shuffles.
// Three things are this header's: Launch() instead of <<<>>>, SharedMemory()
// instead of extern __shared__, and the copies of async_copy.h.
#ifndef FACET_KERNELS_CUDA_LAUNCH_H_
#define FACET_KERNELS_CUDA_LAUNCH_H_

#include <cstddef>
#include <cstdint>

#include "kernels/cuda/kernel_calls.h"

#if defined(__CUDACC__)

#include <cuda_runtime.h>

namespace facet {
namespace FACET_CUDA {

inline constexpr unsigned kFullWarp = 0xffffffffu;

// The block's dynamic shared memory, as large as Launch() was told.
template <typename T>
__device__ inline T* SharedMemory() {
  extern __shared__ __align__(128) unsigned char facet_shared_memory[];
  return reinterpret_cast<T*>(facet_shared_memory);
}

// Puts one call into `line`; it runs with those around it.
template <typename... Parameters, typename... Args>
void Launch(void (*kernel)(Parameters...), dim3 grid, dim3 block,
            size_t shared_bytes, KernelLine& line, Args... args) {
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) return;
  KernelCall call;
  call.kernel = reinterpret_cast<const void*>(kernel);
  call.grid = {grid.x, grid.y, grid.z};
  call.block = {block.x, block.y, block.z};
  call.shared_bytes = shared_bytes;
  // Above this a kernel has to ask first.
  if (shared_bytes > 48 * 1024) {
    cudaFuncSetAttribute(call.kernel,
                         cudaFuncAttributeMaxDynamicSharedMemorySize,
                         static_cast<int>(shared_bytes));
  }
  line.Add<Parameters...>(call, args...);
}

}  // namespace FACET_CUDA
}  // namespace facet

#else

#include "kernels/cuda/emulator.h"

#endif

#endif  // FACET_KERNELS_CUDA_LAUNCH_H_
