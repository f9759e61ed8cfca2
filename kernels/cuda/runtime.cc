#include "kernels/cuda/runtime.h"

#include <cuda_runtime.h>

#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "kernels/cuda/architectures.h"

namespace facet {
namespace FACET_CUDA {
namespace {

absl::Status ToStatus(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return absl::OkStatus();
  const std::string message =
      absl::StrCat(what, ": ", cudaGetErrorString(error), " (",
                   cudaGetErrorName(error), ")");
  if (error == cudaErrorMemoryAllocation) {
    return absl::ResourceExhaustedError(message);
  }
  return absl::InternalError(message);
}

absl::Status DriverStatus(cudaError_t error) {
  if (error == cudaErrorInsufficientDriver) {
    int driver = 0, runtime = 0;
    cudaDriverGetVersion(&driver);
    cudaRuntimeGetVersion(&runtime);
    if (driver == 0) {
      return absl::FailedPreconditionError(
          "--device=cuda: this machine has no NVIDIA driver; install one, run "
          "the container with its GPUs, or use --device=cpu");
    }
    return absl::FailedPreconditionError(absl::StrCat(
        "--device=cuda: the NVIDIA driver supports CUDA ", driver / 1000, ".",
        driver % 1000 / 10, ", this binary needs ", runtime / 1000, ".",
        runtime % 1000 / 10, "; update the driver"));
  }
  if (error == cudaErrorNoDevice) {
    return absl::NotFoundError(
        "--device=cuda: the driver sees no GPU; look at nvidia-smi and "
        "CUDA_VISIBLE_DEVICES");
  }
  return ToStatus(error, "--device=cuda");
}

}  // namespace

absl::Status UseDevice(int index) {
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error != cudaSuccess) return DriverStatus(error);
  if (index < 0 || index >= count) {
    return absl::NotFoundError(absl::StrCat(
        "--device=cuda:", index, ": this machine has GPUs 0 to ", count - 1));
  }
  FACET_RETURN_IF_ERROR(ToStatus(cudaSetDevice(index), "cudaSetDevice"));
  int major = 0, minor = 0;
  cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, index);
  cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, index);
  return CheckArchitecture(major, minor);
}

void SelectDevice(int index) { cudaSetDevice(index); }

absl::StatusOr<std::string> DeviceName() {
  int index = 0;
  FACET_RETURN_IF_ERROR(ToStatus(cudaGetDevice(&index), "cudaGetDevice"));
  cudaDeviceProp properties;
  FACET_RETURN_IF_ERROR(ToStatus(cudaGetDeviceProperties(&properties, index),
                                 "cudaGetDeviceProperties"));
  return absl::StrCat(properties.name, " (cuda:", index, ")");
}

int64_t FreeBytes() {
  size_t free = 0, total = 0;
  if (cudaMemGetInfo(&free, &total) != cudaSuccess) return 0;
  return static_cast<int64_t>(free);
}

bool HasNccl() { return true; }

absl::StatusOr<void*> AllocateDevice(size_t bytes) {
  void* memory = nullptr;
  const cudaError_t error = cudaMalloc(&memory, bytes);
  // A failed allocation is not an error of the kernels that follow.
  if (error != cudaSuccess) cudaGetLastError();
  FACET_RETURN_IF_ERROR(ToStatus(error, "cudaMalloc"));
  return memory;
}

void FreeDevice(void* memory) { cudaFree(memory); }

absl::StatusOr<void*> AllocatePinned(size_t bytes) {
  void* memory = nullptr;
  FACET_RETURN_IF_ERROR(ToStatus(
      cudaHostAlloc(&memory, bytes, cudaHostAllocDefault), "cudaHostAlloc"));
  return memory;
}

void FreePinned(void* memory) { cudaFreeHost(memory); }

absl::StatusOr<Stream> MakeStream() {
  Stream stream = nullptr;
  FACET_RETURN_IF_ERROR(
      ToStatus(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking),
               "cudaStreamCreate"));
  return stream;
}

void DestroyStream(Stream stream) { cudaStreamDestroy(stream); }

absl::Status CopyToDevice(const void* pinned, size_t bytes, void* to,
                          Stream stream) {
  return ToStatus(
      cudaMemcpyAsync(to, pinned, bytes, cudaMemcpyHostToDevice, stream),
      "copy to the device");
}

absl::Status CopyToHost(const void* from, size_t bytes, void* to,
                        Stream stream) {
  return ToStatus(
      cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, stream),
      "copy from the device");
}

absl::StatusOr<Event> MakeEvent() {
  Event event = nullptr;
  FACET_RETURN_IF_ERROR(
      ToStatus(cudaEventCreateWithFlags(&event, cudaEventDisableTiming),
               "cudaEventCreate"));
  return event;
}

void DestroyEvent(Event event) { cudaEventDestroy(event); }

absl::Status Record(Event event, Stream stream) {
  return ToStatus(cudaEventRecord(event, stream), "cudaEventRecord");
}

absl::StatusOr<bool> HasPassed(Event event) {
  const cudaError_t error = cudaEventQuery(event);
  if (error == cudaErrorNotReady) return false;
  FACET_RETURN_IF_ERROR(ToStatus(error, "kernel"));
  return true;
}

absl::Status WaitFor(Event event) {
  return ToStatus(cudaEventSynchronize(event), "kernel");
}

absl::Status Wait(Stream stream) {
  FACET_RETURN_IF_ERROR(ToStatus(cudaGetLastError(), "kernel launch"));
  return ToStatus(cudaStreamSynchronize(stream), "kernel");
}

}  // namespace FACET_CUDA
}  // namespace facet
