// The few calls of the CUDA runtime that Facet needs, as statuses; the
// emulation has its own of each.
#ifndef FACET_KERNELS_CUDA_RUNTIME_H_
#define FACET_KERNELS_CUDA_RUNTIME_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "kernels/cuda/cublas_api.h"
#include "kernels/cuda/kernel_calls.h"
#include "kernels/cuda/stream.h"

namespace facet {
namespace FACET_CUDA {

// Makes device `index` the one of the calling thread.
//
// Errors, each with what to do about it:
//   FAILED_PRECONDITION  no driver, one too old, or no kernel in this binary
//                        for the device's architecture
//   NOT_FOUND            no device, or none of that index
absl::Status UseDevice(int index);
// The same without the questions, for a device that UseDevice() has taken.
void SelectDevice(int index);
// Of the device in use.
absl::StatusOr<std::string> DeviceName();
int64_t FreeBytes();

// Whether its memory and streams are ones that NCCL knows.
bool HasNccl();

// cuBLAS as it works on these. Errors: LoadCublas()'s.
absl::StatusOr<const CublasApi*> FindCublas();

// INTERNAL or RESOURCE_EXHAUSTED, in the runtime's words.
absl::StatusOr<void*> AllocateDevice(size_t bytes);
void FreeDevice(void* memory);
// Pinned memory of the host's, for copies that run beside it.
absl::StatusOr<void*> AllocatePinned(size_t bytes);
void FreePinned(void* memory);

absl::StatusOr<Stream> MakeStream();
void DestroyStream(Stream stream);
absl::Status CopyToDevice(const void* pinned, size_t bytes, void* to,
                          Stream stream);
absl::Status CopyToHost(const void* from, size_t bytes, void* to,
                        Stream stream);

absl::StatusOr<Event> MakeEvent();
void DestroyEvent(Event event);
// Puts the event behind all that the stream was asked for so far.
absl::Status Record(Event event, Stream stream);
// Whether its stream is past it, or waits until then. One that was never
// recorded is passed. Errors of the stream's kernels may come out here.
absl::StatusOr<bool> HasPassed(Event event);
absl::Status WaitFor(Event event);

// Call `i` of `calls`.
absl::Status RunKernel(const KernelCalls& calls, size_t i, Stream stream);

// What a library asks of a stream, kept to be run again and again. Between
// these two the stream runs nothing, whoever asks it for something.
using Message = RecordedMessage*;
absl::Status BeginRecording(Stream stream);
// Errors: INTERNAL when something cannot be kept, or nothing was asked for.
absl::StatusOr<Message> EndRecording(Stream stream);
absl::Status RunMessageOn(Message message, Stream stream);
// Runs under way go on. Graphs have copies of their own.
void DestroyMessage(Message message);

// Calls one behind the other that start as one. Changes are seen by runs that
// are asked for later, not by one under way.
struct KernelGraph;
using Graph = KernelGraph*;
absl::StatusOr<Graph> MakeGraph(const KernelCalls& calls);
// Call `i` becomes that of `calls`. REQUIRES: the same kernel, no message.
absl::Status UpdateGraph(Graph graph, size_t i, const KernelCalls& calls);
absl::Status RunGraphOn(Graph graph, Stream stream);
// Runs under way go on.
void DestroyGraph(Graph graph);

// Waits for the stream; errors of its kernels come out here.
absl::Status Wait(Stream stream);

}  // namespace FACET_CUDA
}  // namespace facet

#endif  // FACET_KERNELS_CUDA_RUNTIME_H_
