// The runtime of the emulation: device memory is the host's, filled with NaNs
// so that nothing is read before it is written; copies and kernels are done
// when their call is back.
#include <cstdlib>
#include <cstring>

#include "kernels/cuda/runtime.h"

namespace facet {
namespace FACET_CUDA {

absl::Status UseDevice(int index) {
  if (index == 0) return absl::OkStatus();
  return absl::NotFoundError("the emulation has one device");
}

void SelectDevice(int) {}

absl::StatusOr<std::string> DeviceName() { return std::string("emulated GPU"); }

int64_t FreeBytes() { return int64_t{4} << 30; }

bool HasNccl() { return false; }

absl::StatusOr<void*> AllocateDevice(size_t bytes) {
  const size_t size = (bytes + 255) / 256 * 256;
  void* memory = std::aligned_alloc(256, size > 0 ? size : 256);
  if (memory == nullptr) return absl::ResourceExhaustedError("no memory");
  std::memset(memory, 0xff, size);
  return memory;
}

void FreeDevice(void* memory) { std::free(memory); }

absl::StatusOr<void*> AllocatePinned(size_t bytes) {
  return AllocateDevice(bytes);
}

void FreePinned(void* memory) { std::free(memory); }

absl::StatusOr<Stream> MakeStream() { return Stream{nullptr}; }

void DestroyStream(Stream) {}

absl::Status CopyToDevice(const void* pinned, size_t bytes, void* to, Stream) {
  std::memcpy(to, pinned, bytes);
  return absl::OkStatus();
}

absl::Status CopyToHost(const void* from, size_t bytes, void* to, Stream) {
  std::memcpy(to, from, bytes);
  return absl::OkStatus();
}

absl::StatusOr<Event> MakeEvent() { return Event{nullptr}; }

void DestroyEvent(Event) {}

absl::Status Record(Event, Stream) { return absl::OkStatus(); }

absl::StatusOr<bool> HasPassed(Event) { return true; }

absl::Status WaitFor(Event) { return absl::OkStatus(); }

absl::Status Wait(Stream) { return absl::OkStatus(); }

}  // namespace FACET_CUDA
}  // namespace facet
