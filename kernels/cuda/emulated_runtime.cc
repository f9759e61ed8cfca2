// The runtime of the emulation: device memory is the host's, filled with NaNs
// so that nothing is read before it is written. A stream does what it was asked
// for as late as it may, when somebody waits: what a copy or a kernel reads is
// then what a slow device would find there.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "kernels/cuda/emulated_stream.h"
#include "kernels/cuda/emulator.h"
#include "kernels/cuda/runtime.h"

struct CUstream_st {
  void Ask(std::function<void()> work) {
    const std::lock_guard<std::mutex> lock(mutex);
    if (recording) {
      recorded.push_back(std::move(work));
      return;
    }
    waiting.push_back(std::move(work));
    ++asked;
  }
  void DoUpTo(uint64_t place) {
    const std::lock_guard<std::mutex> turn(running);
    while (DoNext(place)) continue;
  }
  void DoAll() {
    const std::lock_guard<std::mutex> turn(running);
    while (DoNext(UINT64_MAX)) continue;
  }

  std::mutex running;  // held by whoever does the work
  std::mutex mutex;    // of what follows, never held over work
  std::deque<std::function<void()>> waiting;
  uint64_t asked = 0, done = 0;
  bool recording = false;
  std::vector<std::function<void()>> recorded;

 private:
  bool DoNext(uint64_t place) {
    std::function<void()> work;
    {
      const std::lock_guard<std::mutex> lock(mutex);
      if (waiting.empty() || done >= place) return false;
      work = std::move(waiting.front());
      waiting.pop_front();
    }
    work();
    work = nullptr;  // what it held on to goes first
    const std::lock_guard<std::mutex> lock(mutex);
    ++done;
    return true;
  }
};

struct CUevent_st {
  CUstream_st* stream = nullptr;
  uint64_t place = 0;
};

namespace facet {
namespace FACET_CUDA {
namespace {

struct AllStreams {
  std::mutex mutex;
  std::vector<std::shared_ptr<CUstream_st>> streams;
};
AllStreams& Streams() {
  static AllStreams* const all = new AllStreams;
  return *all;
}

void RunCall(const KernelCalls& one) {
  const KernelCall& call = one[0];
  const std::vector<void*> arguments = one.Arguments(0);
  RunGrid(dim3(call.grid.x, call.grid.y, call.grid.z),
          dim3(call.block.x, call.block.y, call.block.z), call.shared_bytes,
          [&] { call.as_thread(call.kernel, arguments.data()); });
}

}  // namespace

EmulatedAbilities& Abilities() {
  static EmulatedAbilities* const abilities = new EmulatedAbilities;
  return *abilities;
}

void AskOf(Stream stream, std::function<void()> work) {
  stream->Ask(std::move(work));
}

bool IsRecording(Stream stream) {
  const std::lock_guard<std::mutex> lock(stream->mutex);
  return stream->recording;
}

absl::Status UseDevice(int index) {
  if (index == 0) return absl::OkStatus();
  return absl::NotFoundError("the emulation has one device");
}

void SelectDevice(int) {}

absl::StatusOr<std::string> DeviceName() { return std::string("emulated GPU"); }

int64_t FreeBytes() { return int64_t{4} << 30; }

bool HasNccl() { return Abilities().nccl; }

absl::StatusOr<void*> AllocateDevice(size_t bytes) {
  const size_t size = (bytes + 255) / 256 * 256;
  void* memory = std::aligned_alloc(256, size > 0 ? size : 256);
  if (memory == nullptr) return absl::ResourceExhaustedError("no memory");
  std::memset(memory, 0xff, size);
  return memory;
}

// As a device's: what is under way may still use it.
void FreeDevice(void* memory) {
  std::vector<std::shared_ptr<CUstream_st>> streams;
  {
    const std::lock_guard<std::mutex> lock(Streams().mutex);
    streams = Streams().streams;
  }
  for (const auto& stream : streams) stream->DoAll();
  std::free(memory);
}

absl::StatusOr<void*> AllocatePinned(size_t bytes) {
  return AllocateDevice(bytes);
}

void FreePinned(void* memory) { FreeDevice(memory); }

absl::StatusOr<Stream> MakeStream() {
  const auto stream = std::make_shared<CUstream_st>();
  const std::lock_guard<std::mutex> lock(Streams().mutex);
  Streams().streams.push_back(stream);
  return stream.get();
}

void DestroyStream(Stream stream) {
  stream->DoAll();
  const std::lock_guard<std::mutex> lock(Streams().mutex);
  auto& streams = Streams().streams;
  streams.erase(std::find_if(
      streams.begin(), streams.end(),
      [stream](const auto& known) { return known.get() == stream; }));
}

absl::Status CopyToDevice(const void* pinned, size_t bytes, void* to,
                          Stream stream) {
  stream->Ask([=] { std::memcpy(to, pinned, bytes); });
  return absl::OkStatus();
}

absl::Status CopyToHost(const void* from, size_t bytes, void* to,
                        Stream stream) {
  stream->Ask([=] { std::memcpy(to, from, bytes); });
  return absl::OkStatus();
}

absl::StatusOr<Event> MakeEvent() { return new CUevent_st; }

void DestroyEvent(Event event) { delete event; }

absl::Status Record(Event event, Stream stream) {
  const std::lock_guard<std::mutex> lock(stream->mutex);
  *event = {stream, stream->asked};
  return absl::OkStatus();
}

absl::StatusOr<bool> HasPassed(Event event) {
  if (event->stream == nullptr) return true;
  const std::lock_guard<std::mutex> lock(event->stream->mutex);
  return event->stream->done >= event->place;
}

absl::Status WaitFor(Event event) {
  if (event->stream != nullptr) event->stream->DoUpTo(event->place);
  return absl::OkStatus();
}

absl::Status RunKernel(const KernelCalls& calls, size_t i, Stream stream) {
  stream->Ask([one = calls.Only(i)] { RunCall(one); });
  return absl::OkStatus();
}

struct RecordedMessage {
  std::vector<std::function<void()>> work;
};

absl::Status BeginRecording(Stream stream) {
  const std::lock_guard<std::mutex> lock(stream->mutex);
  stream->recording = true;
  return absl::OkStatus();
}

absl::StatusOr<Message> EndRecording(Stream stream) {
  auto message = std::make_unique<RecordedMessage>();
  {
    const std::lock_guard<std::mutex> lock(stream->mutex);
    stream->recording = false;
    message->work.swap(stream->recorded);
  }
  if (message->work.empty()) return absl::InternalError("nothing was recorded");
  if (Abilities().recordings_left == 0) {
    return absl::InternalError("the emulation records no more");
  }
  --Abilities().recordings_left;
  return message.release();
}

absl::Status RunMessageOn(Message message, Stream stream) {
  for (const std::function<void()>& work : message->work) stream->Ask(work);
  return absl::OkStatus();
}

void DestroyMessage(Message message) { delete message; }

struct KernelGraph {
  std::vector<KernelCalls> calls;  // of one call each
  // Of a call that is a message.
  std::vector<std::vector<std::function<void()>>> messages;
};

absl::StatusOr<Graph> MakeGraph(const KernelCalls& calls) {
  auto graph = std::make_unique<KernelGraph>();
  graph->messages.resize(calls.size());
  for (size_t i = 0; i < calls.size(); ++i) {
    graph->calls.push_back(calls.Only(i));
    if (calls[i].message == nullptr) continue;
    if (!Abilities().messages_in_graphs) {
      return absl::InternalError("the emulation has no graphs in graphs");
    }
    graph->messages[i] = calls[i].message->work;
  }
  return graph.release();
}

absl::Status UpdateGraph(Graph graph, size_t i, const KernelCalls& calls) {
  if (graph->calls[i][0].kernel != calls[i].kernel) {
    return absl::InvalidArgumentError("a graph's kernel does not change");
  }
  graph->calls[i] = calls.Only(i);
  return absl::OkStatus();
}

absl::Status RunGraphOn(Graph graph, Stream stream) {
  // As one, whatever is changed or let go of meanwhile.
  stream->Ask([copy = *graph] {
    for (size_t i = 0; i < copy.calls.size(); ++i) {
      if (copy.calls[i][0].message == nullptr) RunCall(copy.calls[i]);
      for (const std::function<void()>& work : copy.messages[i]) work();
    }
  });
  return absl::OkStatus();
}

void DestroyGraph(Graph graph) { delete graph; }

absl::Status Wait(Stream stream) {
  stream->DoAll();
  return absl::OkStatus();
}

}  // namespace FACET_CUDA
}  // namespace facet
