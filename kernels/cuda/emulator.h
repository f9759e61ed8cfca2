// Enough of CUDA's language for the host's compiler to build a kernel, and a
// Launch() that runs it: blocks one after another, each thread of a block a
// fiber that gives way at barriers and shuffles. Shared memory starts every
// block as NaNs. What a GPU would hang or fault on (a barrier that not all
// threads reach, a misaligned 16-byte copy) ends the process with a message.
//
// A copy of async_copy.h lands when its thread waits for it, and until then its
// place holds NaNs.
//
// Under ThreadSanitizer, threads of a kernel are ordered by its barriers alone,
// and so are its blocks by nothing: races are told as those of any program.
// Shuffles order no memory.
//
// For tests. Launches of different host threads are independent.
#ifndef FACET_KERNELS_CUDA_EMULATOR_H_
#define FACET_KERNELS_CUDA_EMULATOR_H_

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <utility>

#include "kernels/cuda/kernel_calls.h"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)

struct dim3 {
  unsigned x, y, z;
  dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};
struct alignas(8) float2 {
  float x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};

namespace facet {
namespace emulated {

// Of the thread that runs.
extern thread_local dim3 thread_index, block_index, block_dim, grid_dim;

inline constexpr unsigned kFullWarp = 0xffffffffu;

// Shared memory that a block may have: Hopper's, or what a test makes of it.
extern int most_shared_bytes;

void RunGrid(dim3 grid, dim3 block, size_t shared_bytes,
             const std::function<void()>& kernel);
void* SharedBytes();
void BlockBarrier();
void WarpBarrier();
// Every lane of the warp gives `value` and gets that of lane `from`.
uint64_t WarpExchange(uint64_t value, int from);

// A tensor core's product, see kernels/cuda/tensor_core.h: terms are added in
// rising k by fused multiply-add, which is one of the orders a GPU may take.
void EmulateMultiplyAdd(const uint32_t (&a)[4], const uint32_t (&b)[2],
                        float (&d)[4]);

// Copies of the thread that runs that are under way, see async_copy.h. `from`:
// null for zeros.
struct AsyncCopy {
  void* to = nullptr;
  const void* from = nullptr;
};
void BeginCopy(const AsyncCopy& copy);
void CommitCopyGroup();
// The next copy to be done of all groups but the newest `pending`; false: there
// is none.
bool LandCopy(int pending, AsyncCopy* copy);

template <typename T>
T* SharedMemory() {
  return static_cast<T*>(SharedBytes());
}

template <typename... Parameters, size_t... kIndices>
void CallAsThread(const void* kernel, void* const* arguments,
                  std::index_sequence<kIndices...>) {
  reinterpret_cast<void (*)(Parameters...)>(const_cast<void*>(kernel))(
      *static_cast<Parameters*>(arguments[kIndices])...);
}

template <typename... Parameters, typename... Args>
void Launch(void (*kernel)(Parameters...), dim3 grid, dim3 block,
            size_t shared_bytes, KernelLine& line, Args... args) {
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) return;
  KernelCall call;
  call.kernel = reinterpret_cast<const void*>(kernel);
  call.as_thread = [](const void* function, void* const* arguments) {
    CallAsThread<Parameters...>(function, arguments,
                                std::index_sequence_for<Parameters...>());
  };
  call.grid = {grid.x, grid.y, grid.z};
  call.block = {block.x, block.y, block.z};
  call.shared_bytes = shared_bytes;
  line.Add<Parameters...>(call, args...);
}

}  // namespace emulated
}  // namespace facet

#define threadIdx ::facet::emulated::thread_index
#define blockIdx ::facet::emulated::block_index
#define blockDim ::facet::emulated::block_dim
#define gridDim ::facet::emulated::grid_dim

inline void __syncthreads() { facet::emulated::BlockBarrier(); }
inline void __syncwarp() { facet::emulated::WarpBarrier(); }

template <typename T>
T __shfl_sync(unsigned, T value, int from) {
  static_assert(sizeof(T) <= 8);
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(T));
  bits = facet::emulated::WarpExchange(bits, from);
  std::memcpy(&value, &bits, sizeof(T));
  return value;
}
template <typename T>
T __shfl_xor_sync(unsigned mask, T value, int lanes) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  return __shfl_sync(mask, value, lane ^ lanes);
}
// Lanes below `by` keep their own value.
template <typename T>
T __shfl_up_sync(unsigned mask, T value, int by) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  return __shfl_sync(mask, value, lane >= by ? lane - by : lane);
}
template <typename T>
T __ldg(const T* from) {
  return *from;
}

#endif  // FACET_KERNELS_CUDA_EMULATOR_H_
