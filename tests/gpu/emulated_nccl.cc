#include "tests/gpu/emulated_nccl.h"

#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstring>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>

#include "kernels/cuda/emulated_stream.h"

namespace facet {
namespace {

// How often a communicator is asked before it has taken a call.
constexpr int kPollsToTake = 3;

EmulatedNccl library;
// Of everything here; held for moments.
std::mutex mutex;
std::condition_variable changed;

struct Arrival {
  std::string what;  // the call, and which recording of it
  std::vector<uint8_t> bytes;
};

// The ranks of one unique id, and their calls by place in the order that all
// share.
struct World {
  int ranks = 0;
  std::map<uint64_t, std::map<int, Arrival>> calls;
  std::map<uint64_t, int> left;
};

std::map<std::string, std::weak_ptr<World>>& Worlds() {
  static auto* const worlds = new std::map<std::string, std::weak_ptr<World>>;
  return *worlds;
}

struct Comm {
  std::shared_ptr<World> world;
  int rank = 0;
  bool aborted = false;
  uint64_t place = 0;  // of the next call that runs
  int recordings = 0;  // made so far
  int alive = 0;       // recordings that somebody still has
  int polls = 0;       // since the last call was made
  std::function<void()> untaken;
};

std::shared_ptr<Comm> Of(NcclComm comm) {
  return *reinterpret_cast<std::shared_ptr<Comm>*>(comm);
}

// With the mutex held.
void Break(const std::string& rule) {
  if (library.broken_rule.empty()) library.broken_rule = rule;
}

using Combine = std::function<void(const std::map<int, Arrival>& all)>;

// What a rank brings: blocks of memory, one behind the other.
using Blocks = std::vector<std::pair<const void*, size_t>>;

std::vector<uint8_t> Read(const Blocks& blocks) {
  std::vector<uint8_t> bytes;
  for (const auto& [from, size] : blocks) {
    const auto* data = static_cast<const uint8_t*>(from);
    bytes.insert(bytes.end(), data, data + size);
  }
  return bytes;
}

// Sends and receives of the thread's group.
struct Group {
  bool open = false;
  Blocks sends;  // by peer
  std::vector<std::pair<void*, size_t>> receives;
  NcclComm comm = nullptr;
  void* stream = nullptr;
};
thread_local Group group;

// Of a stream's work: brings the blocks and waits for those of the others.
void Meet(Comm& comm, const std::string& what, bool replay,
          const Blocks& blocks, const Combine& combine) {
  std::unique_lock<std::mutex> lock(mutex);
  World& world = *comm.world;
  if (replay && library.replays_hang) {
    changed.wait(lock, [&] { return comm.aborted; });
    return;
  }
  const uint64_t place = comm.place++;
  world.calls[place][comm.rank] = {what, Read(blocks)};
  changed.notify_all();
  changed.wait(lock, [&] {
    return comm.aborted ||
           static_cast<int>(world.calls[place].size()) == world.ranks;
  });
  if (comm.aborted) return;
  for (const auto& [rank, arrival] : world.calls[place]) {
    if (arrival.what == what) continue;
    Break("rank " + std::to_string(rank) + " makes " + arrival.what +
          " where rank " + std::to_string(comm.rank) + " makes " + what);
    return;
  }
  combine(world.calls[place]);
  if (++world.left[place] < world.ranks) return;
  world.calls.erase(place);
  world.left.erase(place);
}

// Counts a recording for as long as somebody has it.
struct Recording {
  explicit Recording(std::shared_ptr<Comm> of) : comm(std::move(of)) {}
  ~Recording() {
    const std::lock_guard<std::mutex> lock(mutex);
    --comm->alive;
    changed.notify_all();
  }
  const std::shared_ptr<Comm> comm;
};

int Ask(NcclComm handle, void* stream, const std::string& name, Blocks blocks,
        Combine combine) {
  const auto line = static_cast<emulated::Stream>(stream);
  const std::shared_ptr<Comm> comm = Of(handle);
  size_t bytes = 0;
  for (const auto& [from, size] : blocks) bytes += size;
  const std::string call = name + " " + std::to_string(bytes);
  const bool records = emulated::IsRecording(line);
  const std::lock_guard<std::mutex> lock(mutex);
  if (comm->untaken != nullptr) Break("a call before the last one was taken");
  std::shared_ptr<Recording> recording;
  std::string what = call;
  if (records) {
    ++comm->alive;
    what += " of recording " + std::to_string(comm->recordings++);
    recording = std::make_shared<Recording>(comm);
  }
  if (comm->rank == 0) ++(records ? library.recorded : library.called)[call];
  comm->polls = 0;
  // What is asked of the stream later than the caller believes would miss the
  // recording.
  comm->untaken = [=] {
    if (emulated::IsRecording(line) != records) {
      Break(call + " was not taken before its recording ended");
    }
    emulated::AskOf(line, [=] {
      if (recording != nullptr && comm->rank == 0) {
        const std::lock_guard<std::mutex> counting(mutex);
        ++library.replayed[call];
      }
      Meet(*comm, what, recording != nullptr, blocks, combine);
    });
  };
  return kNcclInProgress;
}

NcclApi Functions() {
  NcclApi api = {};
  api.GetVersion = [](int* version) {
    *version = 22809;
    return 0;
  };
  api.GetUniqueId = [](NcclUniqueId* id) {
    static std::atomic<int> next = 0;
    std::snprintf(id->bytes, sizeof(id->bytes), "world %d", next++);
    return 0;
  };
  api.CommInitRankConfig = [](NcclComm* comm, int ranks, NcclUniqueId id,
                              int rank, NcclConfig*) {
    const std::lock_guard<std::mutex> lock(mutex);
    std::shared_ptr<World> world = Worlds()[id.bytes].lock();
    if (world == nullptr) {
      world = std::make_shared<World>();
      world->ranks = ranks;
      Worlds()[id.bytes] = world;
    }
    auto made = std::make_shared<Comm>();
    made->world = world;
    made->rank = rank;
    *comm = reinterpret_cast<NcclComm>(new std::shared_ptr<Comm>(made));
    ++library.communicators;
    return kNcclInProgress;
  };
  api.CommGetAsyncError = [](NcclComm handle, int* error) {
    const std::shared_ptr<Comm> comm = Of(handle);
    std::unique_lock<std::mutex> lock(mutex);
    *error = kNcclSuccess;
    if (comm->untaken == nullptr) return 0;
    *error = kNcclInProgress;
    if (++comm->polls < kPollsToTake) return 0;
    std::function<void()> taken;
    taken.swap(comm->untaken);
    // By a thread of the library's own.
    std::thread(taken).join();
    lock.unlock();  // before what it holds on to goes
    taken = nullptr;
    *error = kNcclSuccess;
    return 0;
  };
  api.CommAbort = [](NcclComm handle) {
    const std::shared_ptr<Comm> comm = Of(handle);
    std::function<void()> dropped;
    {
      const std::lock_guard<std::mutex> lock(mutex);
      ++library.aborts_begun;
      comm->aborted = true;
      dropped.swap(comm->untaken);
      changed.notify_all();
    }
    dropped = nullptr;
    std::unique_lock<std::mutex> lock(mutex);
    changed.wait(lock, [&] { return comm->alive == 0; });
    ++library.aborts_ended;
    delete reinterpret_cast<std::shared_ptr<Comm>*>(handle);
    return 0;
  };
  api.AllGather = [](const void* block, void* all, size_t count, int type,
                     NcclComm comm, void* stream) {
    const size_t bytes = count * (type == kNcclFloat32 ? 4 : 1);
    return Ask(comm, stream, "all-gather", {{block, bytes}},
               [=](const std::map<int, Arrival>& arrivals) {
                 for (const auto& [rank, arrival] : arrivals) {
                   std::memcpy(static_cast<uint8_t*>(all) + rank * bytes,
                               arrival.bytes.data(), bytes);
                 }
               });
  };
  // In an order that is no tree: from the last rank to the first.
  api.AllReduce = [](const void* from, void* to, size_t count, int, int,
                     NcclComm comm, void* stream) {
    return Ask(comm, stream, "all-reduce", {{from, count * sizeof(float)}},
               [=](const std::map<int, Arrival>& arrivals) {
                 std::vector<float> sums(count), block(count);
                 for (auto it = arrivals.rbegin(); it != arrivals.rend();
                      ++it) {
                   std::memcpy(block.data(), it->second.bytes.data(),
                               count * sizeof(float));
                   for (size_t i = 0; i < count; ++i) sums[i] += block[i];
                 }
                 std::memcpy(to, sums.data(), count * sizeof(float));
               });
  };
  // Only groups in which every rank sends to and receives from all, in order.
  api.GroupStart = [] {
    group = Group();
    group.open = true;
    return 0;
  };
  api.Send = [](const void* from, size_t count, int type, int peer,
                NcclComm comm, void* stream) {
    if (!group.open || peer != static_cast<int>(group.sends.size())) return 5;
    group.comm = comm;
    group.stream = stream;
    group.sends.push_back({from, count * (type == kNcclFloat32 ? 4 : 1)});
    return kNcclInProgress;
  };
  api.Recv = [](void* to, size_t count, int type, int peer, NcclComm, void*) {
    if (!group.open || peer != static_cast<int>(group.receives.size())) {
      return 5;
    }
    group.receives.push_back({to, count * (type == kNcclFloat32 ? 4 : 1)});
    return kNcclInProgress;
  };
  api.GroupEnd = [] {
    const Group ended = std::exchange(group, Group());
    const int own = Of(ended.comm)->rank;
    // All send blocks of the same sizes: what is for this rank lies behind what
    // is for those before it.
    size_t before = 0;
    for (int r = 0; r < own; ++r) before += ended.sends[r].second;
    return Ask(ended.comm, ended.stream, "exchange", ended.sends,
               [=](const std::map<int, Arrival>& arrivals) {
                 for (const auto& [rank, arrival] : arrivals) {
                   const auto& [to, size] = ended.receives[rank];
                   std::memcpy(to, arrival.bytes.data() + before, size);
                 }
               });
  };
  api.GetErrorString = [](int) { return "an error of the emulation"; };
  return api;
}

}  // namespace

EmulatedNccl& StartEmulatedNccl() {
  const std::lock_guard<std::mutex> lock(mutex);
  library.called.clear();
  library.recorded.clear();
  library.replayed.clear();
  library.communicators = library.aborts_begun = library.aborts_ended = 0;
  library.replays_hang = false;
  library.broken_rule.clear();
  return library;
}

const NcclApi& EmulatedNcclApi() {
  static const NcclApi api = Functions();
  return api;
}

std::map<std::string, int> CountsOf(const std::map<std::string, int>& of) {
  const std::lock_guard<std::mutex> lock(mutex);
  return of;
}

}  // namespace facet
