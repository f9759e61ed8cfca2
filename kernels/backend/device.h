// A device with memory of its own. The CPU is none: where a Device is asked
// for, null means the host's memory.
#ifndef FACET_KERNELS_BACKEND_DEVICE_H_
#define FACET_KERNELS_BACKEND_DEVICE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "kernels/backend/backend.h"
#include "kernels/random_weights/random_weights.h"

namespace facet {

// The largest step that a backend has to take; it reserves its own memory once.
// And whether the user prefers speed.
struct BackendLimits {
  int64_t tokens = 0;
  int head_dim = 0;  // the widest
  // Of a model with experts: those at hand, and their sizes.
  int experts_per_token = 0;
  int64_t experts = 0;
  int64_t hidden = 0;
  int64_t expert_width = 0;
  // Of a rank that computes logits: rows at a time, and tokens of its own.
  int64_t logit_rows = 0;
  int64_t vocab = 0;
  // A vendor's products may take the place of Facet's where they are faster,
  // though their bits depend on the number of rows (--numerics=fast).
  bool fast = false;
  // Elements of the longest row that a product rounds; 0 where none does.
  int64_t widest_input = 0;
};

// Numbered places in a line of operations, for a thread that watches whether a
// device moves on.
class StreamMarks {
 public:
  virtual ~StreamMarks() = default;

  // Behind all that was asked for so far. `number` rises from call to call. By
  // the thread that asks for operations.
  //
  // Errors: INTERNAL, in the device's words.
  virtual absl::Status Set(uint64_t number) = 0;
  // The highest number that the device has come past, 0 at first. From any
  // thread; does not wait.
  //
  // Errors: INTERNAL, naming what the device ran into.
  virtual absl::StatusOr<uint64_t> Passed() = 0;
};

// One thread calls at a time. It outlives its memory and its backends.
class Device {
 public:
  virtual ~Device() = default;

  // For people, such as "NVIDIA H200 (cuda:0)".
  virtual std::string name() const = 0;
  virtual int64_t free_bytes() const = 0;
  // Whether NCCL can carry messages of this device's memory.
  virtual bool speaks_nccl() const { return false; }

  // Uninitialised memory, aligned to 256 bytes.
  //
  // Errors: RESOURCE_EXHAUSTED naming `what`, the bytes asked for and free.
  virtual absl::StatusOr<void*> Allocate(size_t bytes, const char* what) = 0;
  virtual void Free(void* memory) = 0;

  // Copies `rows` of `row_bytes`, `stride` bytes apart, of the host's memory to
  // `to`, where they lie one behind the other. `from` may change once the call
  // is back; the copy is there for every operation asked for later.
  virtual absl::Status Upload(const void* from, int64_t rows, size_t row_bytes,
                              size_t stride, void* to) = 0;
  // Draws `slice` to `to`, [rows, cols] in bf16 without gaps. It is there for
  // every operation asked for later.
  virtual absl::Status Draw(const RandomTensor& tensor,
                            const RandomSlice& slice, void* to) = 0;
  // How many bytes a backend of these limits takes for itself.
  virtual size_t BackendBytes(const BackendLimits& limits) const = 0;
  virtual absl::StatusOr<std::unique_ptr<Backend>> MakeBackend(
      const BackendLimits& limits) = 0;
  // Of a backend's stream(), which they do not outlive. REQUIRES:
  // speaks_nccl().
  virtual absl::StatusOr<std::unique_ptr<StreamMarks>> MakeMarks(
      void* stream) = 0;
};

// Memory of a device, given back in the end.
class DeviceMemory {
 public:
  DeviceMemory() = default;
  DeviceMemory(Device* device, void* data) : device_(device), data_(data) {}
  DeviceMemory(DeviceMemory&& other) { *this = std::move(other); }
  DeviceMemory& operator=(DeviceMemory&& other) {
    std::swap(device_, other.device_);
    std::swap(data_, other.data_);
    return *this;
  }
  ~DeviceMemory() {
    if (data_ != nullptr) device_->Free(data_);
  }
  static absl::StatusOr<DeviceMemory> Allocate(Device* device, size_t bytes,
                                               const char* what) {
    absl::StatusOr<void*> data = device->Allocate(bytes, what);
    if (!data.ok()) return data.status();
    return DeviceMemory(device, *data);
  }

  void* data() const { return data_; }

 private:
  Device* device_ = nullptr;
  void* data_ = nullptr;
};

}  // namespace facet

#endif  // FACET_KERNELS_BACKEND_DEVICE_H_
