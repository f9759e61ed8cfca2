// The emulation's streams, for what joins them beside kernels and copies, and
// what its runtime refuses where a test asks for that.
#ifndef FACET_KERNELS_CUDA_EMULATED_STREAM_H_
#define FACET_KERNELS_CUDA_EMULATED_STREAM_H_

#include <atomic>
#include <functional>

#include "kernels/cuda/stream.h"

namespace facet {
namespace FACET_CUDA {

// Runs `work` behind all that the stream was asked for so far, or every time
// that what the stream records is run.
void AskOf(Stream stream, std::function<void()> work);
bool IsRecording(Stream stream);

struct EmulatedAbilities {
  std::atomic<bool> nccl = false;  // see HasNccl()
  std::atomic<bool> messages_in_graphs = true;
  // Below 0: no end of them.
  std::atomic<int> recordings_left = -1;
};
EmulatedAbilities& Abilities();

}  // namespace FACET_CUDA
}  // namespace facet

#endif  // FACET_KERNELS_CUDA_EMULATED_STREAM_H_
