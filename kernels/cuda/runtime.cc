#include "kernels/cuda/runtime.h"

#include <cuda_runtime.h>

#include <memory>
#include <vector>

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

dim3 ToDim3(const Extent& extent) { return {extent.x, extent.y, extent.z}; }

cudaKernelNodeParams NodeParams(const KernelCall& call,
                                std::vector<void*>& arguments) {
  cudaKernelNodeParams params = {};
  params.func = const_cast<void*>(call.kernel);
  params.gridDim = ToDim3(call.grid);
  params.blockDim = ToDim3(call.block);
  params.sharedMemBytes = static_cast<unsigned>(call.shared_bytes);
  params.kernelParams = arguments.data();
  return params;
}

// A graph that cannot be had is not an error of the kernels that follow.
absl::Status GraphStatus(cudaError_t error, const char* what) {
  if (error != cudaSuccess) cudaGetLastError();
  return ToStatus(error, what);
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

absl::StatusOr<const CublasApi*> FindCublas() { return LoadCublas(); }

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

absl::Status RunKernel(const KernelCalls& calls, size_t i, Stream stream) {
  const KernelCall& call = calls[i];
  return ToStatus(
      cudaLaunchKernel(call.kernel, ToDim3(call.grid), ToDim3(call.block),
                       calls.Arguments(i).data(), call.shared_bytes, stream),
      "kernel launch");
}

struct RecordedMessage {
  ~RecordedMessage() {
    if (runnable != nullptr) cudaGraphExecDestroy(runnable);
    if (graph != nullptr) cudaGraphDestroy(graph);
  }
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t runnable = nullptr;
};

// Other threads may ask the stream too, and the runtime for what would end a
// capture of a stricter kind.
absl::Status BeginRecording(Stream stream) {
  return GraphStatus(
      cudaStreamBeginCapture(stream, cudaStreamCaptureModeRelaxed),
      "cudaStreamBeginCapture");
}

absl::StatusOr<Message> EndRecording(Stream stream) {
  auto message = std::make_unique<RecordedMessage>();
  FACET_RETURN_IF_ERROR(GraphStatus(
      cudaStreamEndCapture(stream, &message->graph), "cudaStreamEndCapture"));
  size_t nodes = 0;
  FACET_RETURN_IF_ERROR(GraphStatus(
      cudaGraphGetNodes(message->graph, nullptr, &nodes), "cudaGraphGetNodes"));
  if (nodes == 0) return absl::InternalError("nothing was recorded");
  FACET_RETURN_IF_ERROR(
      GraphStatus(cudaGraphInstantiate(&message->runnable, message->graph, 0),
                  "cudaGraphInstantiate"));
  return message.release();
}

absl::Status RunMessageOn(Message message, Stream stream) {
  return ToStatus(cudaGraphLaunch(message->runnable, stream),
                  "cudaGraphLaunch of a message");
}

void DestroyMessage(Message message) { delete message; }

struct KernelGraph {
  ~KernelGraph() {
    if (runnable != nullptr) cudaGraphExecDestroy(runnable);
    if (graph != nullptr) cudaGraphDestroy(graph);
  }
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t runnable = nullptr;
  std::vector<cudaGraphNode_t> nodes;
};

absl::StatusOr<Graph> MakeGraph(const KernelCalls& calls) {
  auto made = std::make_unique<KernelGraph>();
  FACET_RETURN_IF_ERROR(
      GraphStatus(cudaGraphCreate(&made->graph, 0), "cudaGraphCreate"));
  for (size_t i = 0; i < calls.size(); ++i) {
    const cudaGraphNode_t* before = i > 0 ? &made->nodes.back() : nullptr;
    cudaGraphNode_t node = nullptr;
    if (calls[i].message != nullptr) {
      FACET_RETURN_IF_ERROR(GraphStatus(
          cudaGraphAddChildGraphNode(&node, made->graph, before, i > 0 ? 1 : 0,
                                     calls[i].message->graph),
          "cudaGraphAddChildGraphNode"));
      made->nodes.push_back(node);
      continue;
    }
    std::vector<void*> arguments = calls.Arguments(i);
    const cudaKernelNodeParams params = NodeParams(calls[i], arguments);
    FACET_RETURN_IF_ERROR(
        GraphStatus(cudaGraphAddKernelNode(&node, made->graph, before,
                                           i > 0 ? 1 : 0, &params),
                    "cudaGraphAddKernelNode"));
    made->nodes.push_back(node);
  }
  FACET_RETURN_IF_ERROR(
      GraphStatus(cudaGraphInstantiate(&made->runnable, made->graph, 0),
                  "cudaGraphInstantiate"));
  return made.release();
}

absl::Status UpdateGraph(Graph graph, size_t i, const KernelCalls& calls) {
  std::vector<void*> arguments = calls.Arguments(i);
  const cudaKernelNodeParams params = NodeParams(calls[i], arguments);
  return GraphStatus(cudaGraphExecKernelNodeSetParams(graph->runnable,
                                                      graph->nodes[i], &params),
                     "cudaGraphExecKernelNodeSetParams");
}

absl::Status RunGraphOn(Graph graph, Stream stream) {
  return ToStatus(cudaGraphLaunch(graph->runnable, stream), "cudaGraphLaunch");
}

void DestroyGraph(Graph graph) { delete graph; }

absl::Status Wait(Stream stream) {
  FACET_RETURN_IF_ERROR(ToStatus(cudaGetLastError(), "kernel launch"));
  return ToStatus(cudaStreamSynchronize(stream), "kernel");
}

}  // namespace FACET_CUDA
}  // namespace facet
