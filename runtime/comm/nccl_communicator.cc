#include "runtime/comm/nccl_communicator.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstring>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "kernels/base/check.h"
#include "kernels/base/status_macros.h"
#include "runtime/comm/flight_recorder.h"
#include "runtime/comm/hang_detector.h"

namespace facet {
namespace {

// Floats up to which every rank sends all it has to all others: one message's
// delay, and few bytes. Longer ones are cut, so that each rank adds its part.
constexpr int64_t kWholeFloats = 32 * 1024;

// Calls that an error message tells; a dump tells all.
constexpr size_t kCallsOfMessage = 8;

absl::Span<const uint8_t> AsBytes(const void* data, size_t bytes) {
  return {static_cast<const uint8_t*>(data), bytes};
}

// What ranks tell each other before they connect.
struct Introduction {
  int version = 0;
  char host[60] = {};
};

std::string HostName() {
  char name[256] = {};
  if (gethostname(name, sizeof(name) - 1) != 0) return "?";
  return name;
}

std::string VersionText(int version) {
  return absl::StrCat(version / 10000, ".", version / 100 % 100, ".",
                      version % 100);
}

class NcclCommunicatorImpl : public NcclCommunicator {
 public:
  explicit NcclCommunicatorImpl(const NcclOptions& options)
      : options_(options), api_(*options.api) {}
  ~NcclCommunicatorImpl() override {
    {
      const std::lock_guard<std::mutex> lock(watch_mutex_);
      stop_ = true;
    }
    stopping_.notify_all();
    if (watch_.joinable()) watch_.join();
    const std::lock_guard<std::mutex> lock(mutex_);
    if (comm_ == nullptr) return;
    for (void* handle : registered_) api_.CommDeregister(comm_, handle);
    api_.CommAbort(comm_);
  }

  absl::Status Connect() {
    FACET_RETURN_IF_ERROR(Introduce());
    NcclUniqueId id = {};
    if (rank() == 0) {
      FACET_RETURN_IF_ERROR(ToStatus(api_.GetUniqueId(&id), "unique id"));
    }
    FACET_RETURN_IF_ERROR(options_.host->Broadcast(
        absl::MakeSpan(reinterpret_cast<uint8_t*>(&id), sizeof(id)), 0));
    NcclConfig config;
    const int result =
        api_.CommInitRankConfig(&comm_, size(), id, rank(), &config);
    if (result != kNcclInProgress) {
      FACET_RETURN_IF_ERROR(ToStatus(result, "init"));
    }
    FACET_RETURN_IF_ERROR(WaitUntilReady());
    const int64_t block = (options_.most_floats + size() - 1) / size();
    const int64_t most_whole = std::min(options_.most_floats, kWholeFloats);
    FACET_RETURN_IF_ERROR(Reserve(std::max(block, most_whole), &parts_));
    FACET_RETURN_IF_ERROR(Reserve(block, &padded_));
    FACET_ASSIGN_OR_RETURN(
        marks_, options_.device->MakeMarks(options_.backend->stream()));
    watch_ = std::thread([this] { Watch(); });
    return absl::OkStatus();
  }

  int rank() const override { return options_.host->rank(); }
  int size() const override { return options_.host->size(); }

  absl::Status status() const override {
    const std::lock_guard<std::mutex> lock(mutex_);
    return status_;
  }

  absl::Status AllReduceSum(absl::Span<float> values) override {
    const int64_t count = static_cast<int64_t>(values.size());
    FACET_CHECK(count <= options_.most_floats);
    if (options_.nccl_sums) {
      return Call(
          "all-reduce by NCCL", count * sizeof(float), -1, [&](void* stream) {
            return api_.AllReduce(values.data(), values.data(), count,
                                  kNcclFloat32, kNcclSum, comm_, stream);
          });
    }
    if (count > kWholeFloats) return AllReduceByParts(values);
    float* parts = static_cast<float*>(parts_.data());
    FACET_RETURN_IF_ERROR(
        Call("all-reduce", count * sizeof(float), -1, [&](void* stream) {
          return api_.AllGather(values.data(), parts, count, kNcclFloat32,
                                comm_, stream);
        }));
    options_.backend->AddParts("all-reduce", size(), parts, values);
    return absl::OkStatus();
  }

  absl::Status AllGather(absl::Span<const uint8_t> block,
                         absl::Span<uint8_t> all) override {
    return Call("all-gather", block.size(), -1, [&](void* stream) {
      return api_.AllGather(block.data(), all.data(), block.size(), kNcclUint8,
                            comm_, stream);
    });
  }

  absl::Status Broadcast(absl::Span<uint8_t> bytes, int root) override {
    return Call("broadcast", bytes.size(), root, [&](void* stream) {
      return api_.Broadcast(bytes.data(), bytes.data(), bytes.size(),
                            kNcclUint8, root, comm_, stream);
    });
  }

  absl::Status Send(absl::Span<const uint8_t> bytes, int peer) override {
    return Call("send", bytes.size(), peer, [&](void* stream) {
      return api_.Send(bytes.data(), bytes.size(), kNcclUint8, peer, comm_,
                       stream);
    });
  }

  absl::Status Recv(absl::Span<uint8_t> bytes, int peer) override {
    return Call("receive", bytes.size(), peer, [&](void* stream) {
      return api_.Recv(bytes.data(), bytes.size(), kNcclUint8, peer, comm_,
                       stream);
    });
  }

  // Of its own connections: make one from the host's split instead.
  absl::StatusOr<std::unique_ptr<Communicator>> Split(
      const std::vector<int>&) override {
    return absl::UnimplementedError(
        "an NCCL communicator is not split; make one of the host's part");
  }

  void Abort(const absl::Status& status) override {
    options_.host->Abort(status);
    const std::lock_guard<std::mutex> lock(mutex_);
    if (status_.ok()) {
      status_ = absl::Status(
          status.code(),
          absl::StrCat(status.message(), "; ", Name(rank()), " of ", size(),
                       ", last calls: ", recorder_.Last(kCallsOfMessage)));
    }
    // Kernels that wait for a peer come back, and the stream goes on.
    if (comm_ != nullptr) api_.CommAbort(comm_);
    comm_ = nullptr;
  }

  CommActivity activity() const override {
    CommActivity activity;
    const RecordedCall call = recorder_.Oldest();
    if (call.number > 0) activity.call = call.ToString();
    activity.moves = recorder_.asked() + recorder_.finished();
    return activity;
  }
  std::string LastCalls(size_t count) const override {
    return recorder_.Last(count);
  }

 private:
  // "rank 1 (node-b)"
  std::string Name(int rank) const {
    const std::string host =
        rank < static_cast<int>(hosts_.size()) ? hosts_[rank] : "?";
    return absl::StrCat("rank ", rank, " (", host, ")");
  }

  // Whom a call waits for.
  std::string PeersOf(const RecordedCall& call) const {
    if (call.peer >= 0 && call.peer != rank()) return Name(call.peer);
    std::string peers;
    for (int r = 0; r < size(); ++r) {
      if (r == rank()) continue;
      absl::StrAppend(&peers, peers.empty() ? "" : ", ", Name(r));
    }
    return peers;
  }

  absl::Status ToStatus(int result, const std::string& what) const {
    if (result == kNcclSuccess) return absl::OkStatus();
    return absl::InternalError(absl::StrCat("NCCL: ", Name(rank()), " of ",
                                            size(), ": ", what, ": ",
                                            api_.GetErrorString(result)));
  }

  // The first error stays; it is told in full where it is found.
  absl::Status Fail(const absl::Status& status) {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (!status_.ok()) return status_;
    }
    const std::string text =
        absl::StrCat(std::string(status.message()), "\ncalls of ", Name(rank()),
                     " of ", size(), ":\n", recorder_.Dump(absl::Now()));
    if (options_.dump != nullptr) {
      options_.dump(text);
    } else {
      std::fputs(text.c_str(), stderr);
    }
    Abort(status);
    return this->status();
  }

  // Records and makes a call, and waits until NCCL has taken it: until then no
  // other may be made. The device works it off later.
  template <typename Function>
  absl::Status Call(const char* what, size_t bytes, int peer,
                    const Function& call) {
    const uint64_t number = recorder_.Ask(what, bytes, peer, absl::Now());
    // Outside the lock: it hands over the operations before this one, and a
    // device that stands still may take no more.
    void* const stream = options_.backend->stream();
    int result = kNcclSuccess;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (!status_.ok()) return status_;
      result = call(stream);
    }
    absl::Status status = result == kNcclInProgress || result == kNcclSuccess
                              ? WaitUntilTaken(number)
                              : ToStatus(result, what);
    if (status.ok()) {
      recorder_.Queue(number);
      status = marks_->Set(number);
      if (status.ok()) return status;
    }
    recorder_.Fail(number);
    return Fail(status);
  }

  // NCCL's word on what it was asked so far. OK: it goes on or has taken it.
  absl::Status AsyncStatus(int* state) const {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!status_.ok()) return status_;
    const int result = api_.CommGetAsyncError(comm_, state);
    if (result != kNcclSuccess) *state = result;
    if (*state == kNcclInProgress) return absl::OkStatus();
    return ToStatus(*state, "asynchronous error");
  }

  absl::Status WaitUntilTaken(uint64_t number) {
    const absl::Time deadline = absl::Now() + options_.timeout;
    for (int tries = 0;; ++tries) {
      int state = kNcclInProgress;
      FACET_RETURN_IF_ERROR(AsyncStatus(&state));
      if (state == kNcclSuccess) return absl::OkStatus();
      if (absl::Now() >= deadline) return HungStatus(number, "taken");
      if (tries > 100) {
        std::this_thread::sleep_for(std::chrono::microseconds(50));
      }
    }
  }

  absl::Status HungStatus(uint64_t number, const char* missing) const {
    const RecordedCall call = recorder_.Oldest();
    return absl::DeadlineExceededError(absl::StrCat(
        "NCCL: ", Name(rank()), " of ", size(), ": ", call.ToString(),
        " has not been ", missing, " for ",
        absl::FormatDuration(options_.timeout), ", ", number - call.number,
        " calls stand behind it; it waits for ", PeersOf(call),
        ". Compare the ranks' last calls: one that is behind holds up the "
        "others"));
  }

  // Of the thread that watches the device.
  void Watch() {
    HangDetector detector(options_.timeout);
    const absl::Duration pause =
        std::min(options_.timeout / 20, absl::Milliseconds(200));
    std::unique_lock<std::mutex> lock(watch_mutex_);
    while (!stopping_.wait_for(lock, absl::ToChronoNanoseconds(pause),
                               [this] { return stop_; })) {
      const absl::Status status = Look(detector);
      if (status.ok()) continue;
      Fail(status).IgnoreError();
      return;
    }
  }

  absl::Status Look(HangDetector& detector) {
    int state = kNcclSuccess;
    FACET_RETURN_IF_ERROR(AsyncStatus(&state));
    FACET_ASSIGN_OR_RETURN(const uint64_t passed, marks_->Passed());
    recorder_.FinishUpTo(passed);
    const uint64_t asked = recorder_.asked();
    if (!detector.IsHung(absl::Now(), asked, recorder_.finished())) {
      return absl::OkStatus();
    }
    return HungStatus(asked, "finished");
  }

  absl::Status Introduce() {
    Introduction own;
    FACET_RETURN_IF_ERROR(ToStatus(api_.GetVersion(&own.version), "version"));
    const std::string host =
        options_.host_name.empty() ? HostName() : options_.host_name;
    std::strncpy(own.host, host.c_str(), sizeof(own.host) - 1);
    std::vector<Introduction> all(size());
    FACET_RETURN_IF_ERROR(options_.host->AllGather(
        AsBytes(&own, sizeof(own)),
        absl::MakeSpan(reinterpret_cast<uint8_t*>(all.data()),
                       all.size() * sizeof(own))));
    bool same = true;
    for (Introduction& other : all) {
      other.host[sizeof(other.host) - 1] = '\0';
      hosts_.push_back(other.host);
      same = same && other.version == own.version;
    }
    if (same) return absl::OkStatus();
    std::string message = "NCCL differs between ranks:";
    for (int r = 0; r < size(); ++r) {
      absl::StrAppend(&message, r > 0 ? ", " : " ", Name(r), " has ",
                      VersionText(all[r].version));
    }
    return absl::FailedPreconditionError(
        absl::StrCat(message, "; install the same version everywhere"));
  }

  // Memory for a block of so many floats from every rank. Registered, where
  // NCCL can: then messages between two such buffers are not copied on the way.
  absl::Status Reserve(int64_t floats, DeviceMemory* memory) {
    const size_t bytes = size() * floats * sizeof(float);
    FACET_ASSIGN_OR_RETURN(
        *memory, DeviceMemory::Allocate(options_.device, bytes, "messages"));
    if (api_.CommRegister == nullptr || api_.CommDeregister == nullptr) {
      return absl::OkStatus();
    }
    void* handle = nullptr;
    const int result = api_.CommRegister(comm_, memory->data(), bytes, &handle);
    if (result == kNcclInProgress) {
      FACET_RETURN_IF_ERROR(WaitUntilReady());
    } else if (result != kNcclSuccess) {
      return absl::OkStatus();  // a machine that has no use for it
    }
    if (handle != nullptr) registered_.push_back(handle);
    return absl::OkStatus();
  }

  absl::Status WaitUntilReady() {
    const absl::Time deadline = absl::Now() + options_.connect_timeout;
    while (true) {
      int state = kNcclInProgress;
      FACET_RETURN_IF_ERROR(
          ToStatus(api_.CommGetAsyncError(comm_, &state), "init"));
      if (state == kNcclSuccess) return absl::OkStatus();
      if (state != kNcclInProgress) return ToStatus(state, "init");
      if (absl::Now() >= deadline) {
        const std::lock_guard<std::mutex> lock(mutex_);
        api_.CommAbort(comm_);
        comm_ = nullptr;
        return absl::DeadlineExceededError(absl::StrCat(
            "NCCL: not all of ", size(), " ranks arrived within ",
            absl::FormatDuration(options_.connect_timeout), "; ", Name(rank()),
            " waited for ", PeersOf(RecordedCall()),
            ". Look for a worker that stands still, and at NCCL_DEBUG=INFO for "
            "a network between them that is closed"));
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }

  // Rank r adds part r of all ranks, then all gather the sums.
  absl::Status AllReduceByParts(absl::Span<float> values) {
    const int64_t count = static_cast<int64_t>(values.size());
    const int64_t part = (count + size() - 1) / size();
    float* parts = static_cast<float*>(parts_.data());
    float* sums = static_cast<float*>(padded_.data());
    const auto floats_of = [&](int r) {
      return std::clamp<int64_t>(count - r * part, 0, part);
    };
    const int64_t own = floats_of(rank());
    const auto exchange = [&](void* stream) {
      int result = kNcclSuccess;
      const auto keep = [&](int other) {
        if (result == kNcclSuccess || result == kNcclInProgress) result = other;
      };
      keep(api_.GroupStart());
      for (int peer = 0; peer < size(); ++peer) {
        keep(api_.Send(values.data() + std::min(count, peer * part),
                       floats_of(peer), kNcclFloat32, peer, comm_, stream));
        keep(api_.Recv(parts + peer * own, own, kNcclFloat32, peer, comm_,
                       stream));
      }
      // Ends whatever came before: a group is a thread's, not a
      // communicator's.
      keep(api_.GroupEnd());
      return result;
    };
    FACET_RETURN_IF_ERROR(
        Call("all-reduce, parts", count * sizeof(float), -1, exchange));
    options_.backend->AddParts("all-reduce", size(), parts,
                               absl::MakeSpan(sums + rank() * part, own));
    // Whole blocks travel; what is behind the last value is nobody's.
    FACET_RETURN_IF_ERROR(
        Call("all-reduce, sums", part * sizeof(float), -1, [&](void* stream) {
          return api_.AllGather(sums + rank() * part, parts, part, kNcclFloat32,
                                comm_, stream);
        }));
    options_.backend->AddParts("all-reduce", 1, parts, values);
    return absl::OkStatus();
  }

  const NcclOptions options_;
  const NcclApi& api_;
  std::vector<std::string> hosts_;  // by rank

  // Held over single calls of NCCL, which do not wait, so that Abort() never
  // takes the communicator away from one.
  mutable std::mutex mutex_;
  NcclComm comm_ = nullptr;  // null again after Abort()
  absl::Status status_;

  FlightRecorder recorder_;
  std::unique_ptr<StreamMarks> marks_;
  DeviceMemory parts_;   // blocks of all ranks
  DeviceMemory padded_;  // sums, in blocks
  std::vector<void*> registered_;

  std::mutex watch_mutex_;
  std::condition_variable stopping_;
  bool stop_ = false;
  std::thread watch_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<NcclCommunicator>> MakeNcclCommunicator(
    const NcclOptions& options) {
  auto communicator = std::make_unique<NcclCommunicatorImpl>(options);
  FACET_RETURN_IF_ERROR(communicator->Connect());
  return communicator;
}

}  // namespace facet
