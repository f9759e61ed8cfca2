#include "runtime/comm/nccl_communicator.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstring>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "kernels/backend/message_recorder.h"
#include "kernels/base/check.h"
#include "kernels/base/status_macros.h"
#include "runtime/comm/flight_recorder.h"
#include "runtime/comm/hang_detector.h"

namespace facet {
namespace {

// Floats up to which every rank sends all it has to all others: one message's
// delay, and few bytes. Longer ones are cut, so that each rank adds its part.
constexpr int64_t kWholeFloats = 32 * 1024;

// Sums of up to so many floats are kept for graphs: those of decoding. What a
// graph saves is nothing beside the rest of a long prompt's step.
constexpr int64_t kMostKeptFloats = 1 << 20;
// Different messages that are kept: a step of each number of rows has two to
// four. Later ones stay between graphs.
constexpr size_t kMostKept = 256;

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

// What ranks tell each other of something that all of them tried.
struct Outcome {
  bool again = false;      // the communicator has to be made anew
  char problem[247] = {};  // empty: none
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
    // Before NCCL is asked to end, by whatever thread.
    if (recorder_ != nullptr) {
      recorder_->OnHandedOver(nullptr);
      recorder_->Forget();
    }
    {
      const std::lock_guard<std::mutex> lock(watch_mutex_);
      stop_ = true;
    }
    stopping_.notify_all();
    if (watch_.joinable()) watch_.join();
    Close();
  }

  absl::Status Connect() {
    FACET_RETURN_IF_ERROR(Introduce());
    FACET_RETURN_IF_ERROR(Open());
    FACET_ASSIGN_OR_RETURN(
        marks_, options_.device->MakeMarks(options_.backend->stream()));
    if (options_.in_graphs) FACET_RETURN_IF_ERROR(TryGraphs());
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
    if (count > kWholeFloats && !options_.nccl_sums) {
      return AllReduceByParts(values);
    }
    FACET_RETURN_IF_ERROR(
        Message(options_.nccl_sums ? "all-reduce by NCCL" : "all-reduce",
                values.data(), count, /*of=*/count,
                [&](void* stream) { return AskSum(values, stream); }));
    AddSum(values);
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
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (status_.ok()) {
        status_ = absl::Status(
            status.code(),
            absl::StrCat(status.message(), "; ", Name(rank()), " of ", size(),
                         ", last calls: ", calls_.Last(kCallsOfMessage)));
      }
    }
    {
      const std::lock_guard<std::mutex> lock(watch_mutex_);
      aborted_ = true;
    }
    stopping_.notify_all();
  }

  bool in_graphs() const override { return in_graphs_; }

  CommActivity activity() const override {
    CommActivity activity;
    const RecordedCall call = calls_.Oldest();
    if (call.number > 0) activity.call = call.ToString();
    activity.moves = calls_.asked() + calls_.finished();
    return activity;
  }
  std::string LastCalls(size_t count) const override {
    return calls_.Last(count);
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
                     " of ", size(), ":\n", calls_.Dump(absl::Now()));
    if (options_.dump != nullptr) {
      options_.dump(text);
    } else {
      std::fputs(text.c_str(), stderr);
    }
    Abort(status);
    return this->status();
  }

  // Records and makes a call. The device works it off later.
  template <typename Function>
  absl::Status Call(const char* what, size_t bytes, int peer,
                    const Function& call) {
    const uint64_t number = calls_.Ask(what, bytes, peer, absl::Now());
    // Outside the lock: it hands over the operations before this one, and a
    // device that stands still may take no more.
    void* const stream = options_.backend->stream();
    absl::Status status = Take(number, what, stream, call);
    if (status.ok()) {
      calls_.Queue(number);
      status = marks_->Set(number);
      if (status.ok()) return status;
    }
    calls_.Fail(number);
    return Fail(status);
  }

  // Makes a call and waits until NCCL has taken it: until then no other may be
  // made, and what is to be recorded is not there.
  template <typename Function>
  absl::Status Take(uint64_t number, const char* what, void* stream,
                    const Function& call) {
    int result = kNcclSuccess;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      FACET_RETURN_IF_ERROR(Usable());
      result = call(stream);
    }
    return result == kNcclInProgress || result == kNcclSuccess
               ? WaitUntilTaken(number)
               : ToStatus(result, what);
  }

  // With mutex_ held.
  absl::Status Usable() const {
    if (!status_.ok()) return status_;
    if (comm_ != nullptr) return absl::OkStatus();
    return absl::CancelledError("NCCL: the communicator was aborted");
  }

  // Asks for what a sum of up to kWholeFloats takes, or any of NCCL's own.
  int AskSum(absl::Span<float> values, void* stream) {
    return options_.nccl_sums
               ? api_.AllReduce(values.data(), values.data(), values.size(),
                                kNcclFloat32, kNcclSum, comm_, stream)
               : api_.AllGather(values.data(), parts_.data(), values.size(),
                                kNcclFloat32, comm_, stream);
  }
  void AddSum(absl::Span<float> values) {
    if (options_.nccl_sums) return;
    options_.backend->AddParts("all-reduce", size(),
                               static_cast<float*>(parts_.data()), values);
  }

  // A message of a sum of `of` values, from what is recorded where that is
  // worth it. `what` is a literal.
  template <typename Function>
  absl::Status Message(const char* what, const float* from, int64_t floats,
                       int64_t of, const Function& ask) {
    int kept = kNotKept;
    if (recorder_ != nullptr && of <= kMostKeptFloats) {
      FACET_ASSIGN_OR_RETURN(kept, Keep({what, from, floats}, ask));
    }
    const size_t bytes = static_cast<size_t>(floats) * sizeof(float);
    return kept >= 0 ? RunKept(kept, what, bytes) : Call(what, bytes, -1, ask);
  }

  // By call, place and size.
  using Kind = std::tuple<const char*, const float*, int64_t>;

  // The recording of such messages, or kNotKept. Whether a call of NCCL's is
  // recorded has to be the same on all ranks: it goes by their messages, which
  // are the same ones in the same order. The second of a kind is worth it.
  template <typename Function>
  absl::StatusOr<int> Keep(const Kind& kind, const Function& ask) {
    const auto known = kept_.find(kind);
    if (known == kept_.end()) {
      if (kept_.size() < kMostKept) kept_[kind] = kNotKept;
      return kNotKept;
    }
    if (known->second != kNotKept) return known->second;
    const absl::StatusOr<int> recorded = recorder_->Record([&](void* stream) {
      return Take(calls_.asked(), "record", stream, ask);
    });
    FACET_ASSIGN_OR_RETURN(
        const Outcome worst,
        WorstOutcome(recorded.ok() ? "" : recorded.status().ToString(), false));
    if (worst.problem[0] == '\0') return known->second = *recorded;
    // What runs goes on; from here on every rank asks NCCL itself.
    options_.backend->HandOver();
    GiveUpGraphs(worst.problem);
    return kNotKept;
  }

  absl::Status RunKept(int message, const char* what, size_t bytes) {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      FACET_RETURN_IF_ERROR(Usable());
    }
    in_line_.push_back(calls_.Ask(what, bytes, -1, absl::Now()));
    recorder_->Run(message);
    return absl::OkStatus();
  }

  // The device has got what is in line.
  void HandedOver() {
    for (const uint64_t number : in_line_) calls_.Queue(number);
    if (in_line_.empty()) return;
    const absl::Status status = marks_->Set(in_line_.back());
    in_line_.clear();
    if (!status.ok()) Fail(status).IgnoreError();
  }

  // NCCL's word on what it was asked so far. OK: it goes on or has taken it.
  absl::Status AsyncStatus(int* state) const {
    const std::lock_guard<std::mutex> lock(mutex_);
    FACET_RETURN_IF_ERROR(Usable());
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
    const RecordedCall call = calls_.Oldest();
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
    while (!aborted_) {
      if (stopping_.wait_for(lock, absl::ToChronoNanoseconds(pause),
                             [this] { return stop_ || aborted_; })) {
        break;
      }
      lock.unlock();
      const absl::Status status = Look(detector);
      if (!status.ok()) Fail(status).IgnoreError();
      lock.lock();
    }
    const bool abort = aborted_;
    lock.unlock();
    // Kernels that wait for a peer come back, and the stream goes on.
    if (abort) AbortNccl();
  }

  // Comes back when no graph has the communicator's messages any more.
  void AbortNccl() {
    NcclComm comm = nullptr;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      std::swap(comm, comm_);
    }
    if (comm != nullptr) api_.CommAbort(comm);
  }

  absl::Status Look(HangDetector& detector) {
    int state = kNcclSuccess;
    FACET_RETURN_IF_ERROR(AsyncStatus(&state));
    FACET_ASSIGN_OR_RETURN(const uint64_t passed, marks_->Passed());
    calls_.FinishUpTo(passed);
    const uint64_t asked = calls_.asked();
    if (!detector.IsHung(absl::Now(), asked, calls_.finished())) {
      return absl::OkStatus();
    }
    if (in_graphs() && options_.graphs_failed != nullptr) {
      *options_.graphs_failed = true;  // perhaps it was them
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

  // A communicator of all ranks, and the memory of its messages.
  absl::Status Open() {
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
    return Reserve(block, &padded_);
  }

  // Of a communicator whose messages are in no graph.
  void Close() {
    for (void* handle : std::exchange(registered_, {})) {
      if (comm_ != nullptr) api_.CommDeregister(comm_, handle);
    }
    AbortNccl();
  }

  // The first rank's problem, and whether any rank needs a new communicator.
  // The problem names the rank. All ranks call it.
  absl::StatusOr<Outcome> WorstOutcome(const std::string& problem, bool again) {
    Outcome own;
    own.again = again;
    std::strncpy(own.problem, problem.c_str(), sizeof(own.problem) - 1);
    std::vector<Outcome> all(size());
    FACET_RETURN_IF_ERROR(options_.host->AllGather(
        AsBytes(&own, sizeof(own)),
        absl::MakeSpan(reinterpret_cast<uint8_t*>(all.data()),
                       all.size() * sizeof(own))));
    Outcome worst;
    for (int r = size() - 1; r >= 0; --r) {
      worst.again = worst.again || all[r].again;
      if (all[r].problem[0] == '\0') continue;
      all[r].problem[sizeof(own.problem) - 1] = '\0';
      const std::string named = absl::StrCat(Name(r), ": ", all[r].problem);
      std::memset(worst.problem, 0, sizeof(worst.problem));
      std::strncpy(worst.problem, named.c_str(), sizeof(worst.problem) - 1);
    }
    return worst;
  }

  // Nobody has run what NCCL recorded before: all ranks record a sum of known
  // values, run it by itself, in a new graph and in one that comes back, and
  // use graphs only if all of them find what they should. What went wrong may
  // have cost the communicator, so there is a new one then.
  absl::Status TryGraphs() {
    MessageRecorder* const recorder = options_.backend->messages();
    std::string problem;
    if (recorder == nullptr || !recorder->ready()) {
      problem = "its kernels run without graphs";
    } else if (options_.graphs_failed != nullptr && *options_.graphs_failed) {
      problem = "FACET_NCCL_GRAPHS=0, or they have failed here before";
    }
    FACET_ASSIGN_OR_RETURN(Outcome worst, WorstOutcome(problem, false));
    int message = kNotKept;
    const auto attempt = [&](const auto& part) -> absl::Status {
      if (worst.problem[0] != '\0') return absl::OkStatus();
      const absl::Status tried = Guarded(part);
      FACET_ASSIGN_OR_RETURN(worst, WorstOutcome(std::string(tried.message()),
                                                 /*again=*/!tried.ok()));
      return absl::OkStatus();
    };
    if (worst.problem[0] == '\0') recorder_ = recorder;
    FACET_RETURN_IF_ERROR(attempt([&] { return RecordTrial(&message); }));
    FACET_RETURN_IF_ERROR(attempt([&] { return RunTrial(message); }));
    if (recorder_ != nullptr) {
      recorder_->Forget();
      recorder_->OnHandedOver([this] { HandedOver(); });
    }
    in_graphs_ = worst.problem[0] == '\0';
    if (in_graphs_) return absl::OkStatus();
    GiveUpGraphs(worst.problem);
    if (!worst.again) return absl::OkStatus();
    Close();
    return Open();
  }

  // The problem is told once, by the first rank.
  void GiveUpGraphs(const std::string& problem) {
    if (recorder_ != nullptr) {
      recorder_->OnHandedOver(nullptr);
      recorder_->Forget();
      recorder_ = nullptr;
      in_graphs_ = false;
      if (options_.graphs_failed != nullptr) *options_.graphs_failed = true;
    }
    kept_.clear();
    if (rank() != 0) return;
    const std::string line = absl::StrCat(
        "NCCL: messages stay between graphs, because of ", problem);
    if (options_.log != nullptr) {
      options_.log(line);
    } else {
      std::fprintf(stderr, "%s\n", line.c_str());
    }
  }

  // `part`, or DEADLINE_EXCEEDED after it was freed from a device that hangs.
  template <typename Function>
  absl::Status Guarded(const Function& part) {
    bool over = false, ran_out = false;  // with watch_mutex_ held
    std::thread guard([&] {
      std::unique_lock<std::mutex> lock(watch_mutex_);
      ran_out = !stopping_.wait_for(
          lock, absl::ToChronoNanoseconds(options_.trial_timeout),
          [&] { return over; });
      lock.unlock();
      if (ran_out) AbortNccl();
    });
    const absl::Status status = part();
    bool aborts = false;
    {
      const std::lock_guard<std::mutex> lock(watch_mutex_);
      over = true;
      aborts = ran_out;
    }
    stopping_.notify_all();
    if (aborts) recorder_->Forget();
    guard.join();
    if (!aborts) return status;
    return absl::DeadlineExceededError(
        absl::StrCat("a message in a graph has not come through within ",
                     absl::FormatDuration(options_.trial_timeout)));
  }

  static constexpr int64_t kTrialFloats = 64;
  absl::Span<float> TrialValues() const {
    return {static_cast<float*>(padded_.data()),
            static_cast<size_t>(std::min(kTrialFloats, options_.most_floats))};
  }

  absl::Status RecordTrial(int* message) {
    const absl::Span<float> values = TrialValues();
    const auto ask = [&](void* stream) { return AskSum(values, stream); };
    // Connections are made outside of recordings.
    options_.backend->BeginStep();
    std::vector<float> host(values.size());
    FACET_RETURN_IF_ERROR(options_.backend->Write(
        host.data(), host.size() * sizeof(float), values.data()));
    FACET_RETURN_IF_ERROR(
        Take(calls_.asked(), "trial", options_.backend->stream(), ask));
    FACET_RETURN_IF_ERROR(options_.backend->Read(
        values.data(), host.size() * sizeof(float), host.data()));
    FACET_ASSIGN_OR_RETURN(*message, recorder_->Record([&](void* stream) {
      return Take(calls_.asked(), "recorded trial", stream, ask);
    }));
    return absl::OkStatus();
  }

  absl::Status RunTrial(int message) {
    constexpr int kRounds = 3;
    // Kernels around the message, so that there is a graph.
    constexpr int kAround = 8;
    const absl::Span<float> values = TrialValues();
    std::vector<float> host(values.size());
    const size_t bytes = host.size() * sizeof(float);
    Backend& backend = *options_.backend;
    for (int round = 0; round < kRounds; ++round) {
      backend.BeginStep();
      float expected = 0;
      for (int r = 0; r < size(); ++r) expected += Known(r, round);
      std::fill(host.begin(), host.end(), Known(rank(), round));
      FACET_RETURN_IF_ERROR(backend.Write(host.data(), bytes, values.data()));
      recorder_->Run(message);
      AddSum(values);
      for (int i = 0; i < kAround; ++i) {
        backend.Scale("trial", values, i % 2 == 0 ? 2.0f : 0.5f);
      }
      FACET_RETURN_IF_ERROR(backend.Read(values.data(), bytes, host.data()));
      for (const float found : host) {
        if (found == expected) continue;
        return absl::InternalError(absl::StrCat("a message in a graph brought ",
                                                found, ", expected ", expected,
                                                ", in round ", round));
      }
    }
    if (recorder_->ready()) return absl::OkStatus();
    return absl::InternalError("the device's runtime refuses graphs of them");
  }

  // Small whole numbers: sums are exact in every order.
  static float Known(int rank, int round) {
    return static_cast<float>((rank + 1) * (round + 3));
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
        AbortNccl();
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
        Message("all-reduce, parts", values.data(), count, count, exchange));
    options_.backend->AddParts("all-reduce", size(), parts,
                               absl::MakeSpan(sums + rank() * part, own));
    // Whole blocks travel; what is behind the last value is nobody's.
    FACET_RETURN_IF_ERROR(
        Message("all-reduce, sums", sums, part, count, [&](void* stream) {
          return api_.AllGather(sums + rank() * part, parts, part, kNcclFloat32,
                                comm_, stream);
        }));
    options_.backend->AddParts("all-reduce", 1, parts, values);
    return absl::OkStatus();
  }

  static constexpr int kNotKept = -1;

  const NcclOptions options_;
  const NcclApi& api_;
  std::vector<std::string> hosts_;  // by rank

  // Held over single calls of NCCL, which do not wait, so that Abort() never
  // takes the communicator away from one.
  mutable std::mutex mutex_;
  NcclComm comm_ = nullptr;  // null again after Abort()
  absl::Status status_;

  FlightRecorder calls_;
  std::unique_ptr<StreamMarks> marks_;
  DeviceMemory parts_;   // blocks of all ranks
  DeviceMemory padded_;  // sums, in blocks
  std::vector<void*> registered_;

  // Null: messages are not in graphs.
  MessageRecorder* recorder_ = nullptr;
  std::atomic<bool> in_graphs_ = false;  // the same for other threads
  // What was recorded, or kNotKept.
  std::map<Kind, int> kept_;
  // Of messages that the line has and the device has not.
  std::vector<uint64_t> in_line_;

  std::mutex watch_mutex_;
  std::condition_variable stopping_;
  bool stop_ = false;
  bool aborted_ = false;
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
