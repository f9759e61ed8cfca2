// For benchmarks.
#ifndef FACET_KERNELS_CUDA_READ_STREAM_H_
#define FACET_KERNELS_CUDA_READ_STREAM_H_

#include <cstdint>

#include "kernels/cuda/kernel_calls.h"

namespace facet {
namespace FACET_CUDA {

// Reads `bytes` once. `out` is hardly ever written.
void ReadStream(const void* data, int64_t bytes, unsigned* out,
                KernelLine& line);

}  // namespace FACET_CUDA
}  // namespace facet

#endif  // FACET_KERNELS_CUDA_READ_STREAM_H_
