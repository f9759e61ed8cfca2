// The emulation's streams, for what joins them beside kernels and copies.
#ifndef FACET_KERNELS_CUDA_EMULATED_STREAM_H_
#define FACET_KERNELS_CUDA_EMULATED_STREAM_H_

#include <functional>

#include "kernels/cuda/stream.h"

namespace facet {
namespace FACET_CUDA {

// Runs `work` behind all that the stream was asked for so far.
void AskOf(Stream stream, std::function<void()> work);

}  // namespace FACET_CUDA
}  // namespace facet

#endif  // FACET_KERNELS_CUDA_EMULATED_STREAM_H_
