#include "runtime/comm/nccl_communicator.h"

#include <algorithm>
#include <chrono>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "kernels/base/check.h"
#include "kernels/base/status_macros.h"
#include "runtime/comm/call_recorder.h"

namespace facet {
namespace {

// Floats up to which every rank sends all it has to all others: one message's
// delay, and few bytes. Longer ones are cut, so that each rank adds its part.
constexpr int64_t kWholeFloats = 32 * 1024;

absl::Span<const uint8_t> AsBytes(const void* data, size_t bytes) {
  return {static_cast<const uint8_t*>(data), bytes};
}

class NcclCommunicator : public Communicator {
 public:
  explicit NcclCommunicator(const NcclOptions& options)
      : options_(options), api_(*options.api) {}
  ~NcclCommunicator() override {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (comm_ != nullptr) api_.CommAbort(comm_);
  }

  absl::Status Connect() {
    FACET_RETURN_IF_ERROR(CompareVersions());
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
    FACET_ASSIGN_OR_RETURN(
        parts_,
        DeviceMemory::Allocate(
            options_.device,
            size() *
                std::max(block, std::min(options_.most_floats, kWholeFloats)) *
                sizeof(float),
            "messages"));
    FACET_ASSIGN_OR_RETURN(
        padded_,
        DeviceMemory::Allocate(options_.device, size() * block * sizeof(float),
                               "messages"));
    return absl::OkStatus();
  }

  int rank() const override { return options_.host->rank(); }
  int size() const override { return options_.host->size(); }

  absl::Status AllReduceSum(absl::Span<float> values) override {
    const int64_t count = static_cast<int64_t>(values.size());
    FACET_CHECK(count <= options_.most_floats);
    FACET_RETURN_IF_ERROR(Begin("all-reduce", count * sizeof(float), -1));
    float* parts = static_cast<float*>(parts_.data());
    if (count <= kWholeFloats) {
      FACET_RETURN_IF_ERROR(Check(api_.AllGather(values.data(), parts, count,
                                                 kNcclFloat32, comm_, stream()),
                                  "all-gather"));
      options_.backend->AddParts("all-reduce", size(), parts, values);
      return absl::OkStatus();
    }
    return AllReduceByParts(values);
  }

  absl::Status AllGather(absl::Span<const uint8_t> block,
                         absl::Span<uint8_t> all) override {
    FACET_RETURN_IF_ERROR(Begin("all-gather", block.size(), -1));
    return Check(api_.AllGather(block.data(), all.data(), block.size(),
                                kNcclUint8, comm_, stream()),
                 "all-gather");
  }

  absl::Status Broadcast(absl::Span<uint8_t> bytes, int root) override {
    FACET_RETURN_IF_ERROR(Begin("broadcast", bytes.size(), root));
    return Check(api_.Broadcast(bytes.data(), bytes.data(), bytes.size(),
                                kNcclUint8, root, comm_, stream()),
                 "broadcast");
  }

  absl::Status Send(absl::Span<const uint8_t> bytes, int peer) override {
    FACET_RETURN_IF_ERROR(Begin("send", bytes.size(), peer));
    return Check(api_.Send(bytes.data(), bytes.size(), kNcclUint8, peer, comm_,
                           stream()),
                 "send");
  }

  absl::Status Recv(absl::Span<uint8_t> bytes, int peer) override {
    FACET_RETURN_IF_ERROR(Begin("receive", bytes.size(), peer));
    return Check(api_.Recv(bytes.data(), bytes.size(), kNcclUint8, peer, comm_,
                           stream()),
                 "receive");
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
          absl::StrCat(status.message(), "; rank ", rank(), " of ", size(),
                       ", last calls: ", recorder_.ToString()));
    }
    // Kernels that wait for a peer come back, and the stream goes on.
    if (comm_ != nullptr) api_.CommAbort(comm_);
    comm_ = nullptr;
  }

 private:
  void* stream() { return options_.backend->stream(); }

  absl::Status ToStatus(int result, const char* what) const {
    if (result == kNcclSuccess) return absl::OkStatus();
    return absl::InternalError(absl::StrCat("NCCL, rank ", rank(), " of ",
                                            size(), ": ", what, ": ",
                                            api_.GetErrorString(result)));
  }

  // An error stays.
  absl::Status Check(int result, const char* what) {
    if (result == kNcclSuccess || result == kNcclInProgress) {
      return absl::OkStatus();
    }
    const absl::Status status = ToStatus(result, what);
    Abort(status);
    const std::lock_guard<std::mutex> lock(mutex_);
    return status_;
  }

  absl::Status Begin(const char* what, size_t bytes, int peer) {
    recorder_.Add(what, bytes, peer);
    int error = kNcclSuccess;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (!status_.ok()) return status_;
      const int result = api_.CommGetAsyncError(comm_, &error);
      if (result != kNcclSuccess) error = result;
    }
    return Check(error, what);
  }

  absl::Status CompareVersions() {
    int version = 0;
    FACET_RETURN_IF_ERROR(ToStatus(api_.GetVersion(&version), "version"));
    std::vector<int> all(size());
    FACET_RETURN_IF_ERROR(options_.host->AllGather(
        AsBytes(&version, sizeof(version)),
        absl::MakeSpan(reinterpret_cast<uint8_t*>(all.data()),
                       all.size() * sizeof(int))));
    for (int other : all) {
      if (other == version) continue;
      std::string message = "NCCL differs between ranks:";
      for (int r = 0; r < size(); ++r) {
        absl::StrAppend(&message, r > 0 ? "," : "", " rank ", r, " has ",
                        all[r] / 10000, ".", all[r] / 100 % 100, ".",
                        all[r] % 100);
      }
      return absl::FailedPreconditionError(
          absl::StrCat(message, "; install the same version everywhere"));
    }
    return absl::OkStatus();
  }

  absl::Status WaitUntilReady() {
    const absl::Time deadline = absl::Now() + options_.timeout;
    while (true) {
      int state = kNcclInProgress;
      FACET_RETURN_IF_ERROR(
          ToStatus(api_.CommGetAsyncError(comm_, &state), "init"));
      if (state == kNcclSuccess) return absl::OkStatus();
      if (state != kNcclInProgress) return ToStatus(state, "init");
      if (absl::Now() >= deadline) {
        api_.CommAbort(comm_);
        comm_ = nullptr;
        return absl::DeadlineExceededError(absl::StrCat(
            "NCCL: not all of ", size(), " ranks arrived within ",
            absl::FormatDuration(options_.timeout), "; rank ", rank(),
            " waited. Look for a worker that stands still, and at "
            "NCCL_DEBUG=INFO for a network between them that is closed"));
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
    FACET_RETURN_IF_ERROR(Check(api_.GroupStart(), "group"));
    const int64_t own = floats_of(rank());
    for (int peer = 0; peer < size(); ++peer) {
      FACET_RETURN_IF_ERROR(
          Check(api_.Send(values.data() + std::min(count, peer * part),
                          floats_of(peer), kNcclFloat32, peer, comm_, stream()),
                "send"));
      FACET_RETURN_IF_ERROR(
          Check(api_.Recv(parts + peer * own, own, kNcclFloat32, peer, comm_,
                          stream()),
                "receive"));
    }
    FACET_RETURN_IF_ERROR(Check(api_.GroupEnd(), "group"));
    options_.backend->AddParts("all-reduce", size(), parts,
                               absl::MakeSpan(sums + rank() * part, own));
    // Whole blocks travel; what is behind the last value is nobody's.
    FACET_RETURN_IF_ERROR(
        Check(api_.AllGather(sums + rank() * part, parts, part, kNcclFloat32,
                             comm_, stream()),
              "all-gather"));
    options_.backend->AddParts("all-reduce", 1, parts, values);
    return absl::OkStatus();
  }

  const NcclOptions options_;
  const NcclApi& api_;
  mutable std::mutex mutex_;
  NcclComm comm_ = nullptr;  // null again after Abort()
  absl::Status status_;
  CallRecorder recorder_;
  DeviceMemory parts_;   // blocks of all ranks
  DeviceMemory padded_;  // sums, in blocks
};

}  // namespace

absl::StatusOr<std::unique_ptr<Communicator>> MakeNcclCommunicator(
    const NcclOptions& options) {
  auto communicator = std::make_unique<NcclCommunicator>(options);
  FACET_RETURN_IF_ERROR(communicator->Connect());
  return communicator;
}

}  // namespace facet
