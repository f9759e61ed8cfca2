// Launches of kernels as data: what a graph of them is made of and compared by.
#ifndef FACET_KERNELS_CUDA_KERNEL_CALLS_H_
#define FACET_KERNELS_CUDA_KERNEL_CALLS_H_

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "kernels/cuda/stream.h"

namespace facet {
namespace FACET_CUDA {

struct Extent {
  unsigned x = 1, y = 1, z = 1;
};

struct RecordedMessage;  // kernels/cuda/runtime.h

struct KernelCall {
  const void* kernel = nullptr;
  // A message instead of a kernel; `kernel` is the same pointer then.
  RecordedMessage* message = nullptr;
  // Calls the kernel as the thread that runs; null where a device does.
  void (*as_thread)(const void* kernel, void* const* arguments) = nullptr;
  Extent grid, block;
  size_t shared_bytes = 0;
  // Of KernelCalls: places of the arguments, and their bytes.
  size_t first_offset = 0, num_arguments = 0;
  size_t begin = 0, end = 0;
};

class KernelCalls {
 public:
  size_t size() const { return calls_.size(); }
  const KernelCall& operator[](size_t i) const { return calls_[i]; }
  void Clear() {
    calls_.clear();
    offsets_.clear();
    bytes_.clear();
  }

  // `call` without its arguments, and these.
  template <typename... Parameters>
  void Add(KernelCall call, const Parameters&... parameters) {
    call.first_offset = offsets_.size();
    call.num_arguments = sizeof...(Parameters);
    call.begin = bytes_.size();
    (Append(&parameters, sizeof(Parameters)), ...);
    call.end = bytes_.size();
    calls_.push_back(call);
  }

  // How many of the calls are messages.
  size_t messages() const {
    size_t count = 0;
    for (const KernelCall& call : calls_) count += call.message != nullptr;
    return count;
  }

  // Where the arguments of call `i` lie, for as long as nothing is added.
  std::vector<void*> Arguments(size_t i) const {
    std::vector<void*> arguments(calls_[i].num_arguments);
    for (size_t a = 0; a < arguments.size(); ++a) {
      arguments[a] = const_cast<uint8_t*>(bytes_.data() +
                                          offsets_[calls_[i].first_offset + a]);
    }
    return arguments;
  }

  // Call `i` alone.
  KernelCalls Only(size_t i) const;

  // Whether both are the same kernels in the same order, whatever their sizes
  // and arguments.
  bool SameKernels(const KernelCalls& other) const;
  // Whether call `i` of both is the same in every byte. REQUIRES:
  // SameKernels().
  bool SameCall(size_t i, const KernelCalls& other) const;

 private:
  static constexpr size_t kAlignment = 16;

  void Append(const void* value, size_t size) {
    const size_t at =
        (bytes_.size() + kAlignment - 1) / kAlignment * kAlignment;
    offsets_.push_back(at);
    bytes_.resize(at + size);
    std::memcpy(bytes_.data() + at, value, size);
  }

  std::vector<KernelCall> calls_;
  std::vector<size_t> offsets_;
  std::vector<uint8_t> bytes_;
};

// What Launch() puts kernels into: the line of operations of a backend.
class KernelLine {
 public:
  virtual ~KernelLine() = default;

  template <typename... Parameters>
  void Add(const KernelCall& call, const Parameters&... parameters) {
    calls_.Add(call, parameters...);
    if (calls_.size() >= kMostCalls) Full();
  }

  static constexpr size_t kMostCalls = 64;

 protected:
  // Takes all calls out. The device need not wait until a whole step is
  // written down.
  virtual void Full() = 0;

  KernelCalls calls_;
};

}  // namespace FACET_CUDA
}  // namespace facet

#endif  // FACET_KERNELS_CUDA_KERNEL_CALLS_H_
