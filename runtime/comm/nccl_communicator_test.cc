// NCCL's part is played by functions that record every call and move the bytes
// between threads; the communicator around them is the real one.
#include "runtime/comm/nccl_communicator.h"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "kernels/backend/cpu_backend.h"
#include "kernels/base/thread_pool.h"
#include "runtime/comm/testing/run_ranks.h"

namespace facet {
namespace {

// The world that the functions below share.
struct FakeNccl {
  std::mutex mutex;
  std::condition_variable changed;
  int version_of_odd_ranks = 22809;
  std::atomic<int> async_state = kNcclSuccess;
  // What the device does with the line: works it off, stands still from now
  // on, or reports an error.
  std::atomic<bool> device_stands = false;
  std::atomic<bool> device_fails = false;
  int aborts = 0;
  std::map<int, int> aborts_of;  // by rank, of its last communicator
  // Of buffers, by rank.
  std::map<int, int> registered;
  int register_result = kNcclSuccess;
  std::map<int, std::string> dumps;  // by rank
  // Calls in order, by rank.
  std::map<int, std::vector<std::string>> calls;
  // Messages on their way, by (from, to), in order.
  std::map<std::pair<int, int>, std::vector<std::vector<uint8_t>>> messages;
};
FakeNccl* fake = nullptr;
thread_local int fake_rank = 0;
thread_local int fake_size = 0;
struct PendingReceive {
  void* to;
  size_t bytes;
  int peer;
};
thread_local bool in_group = false;
thread_local std::vector<PendingReceive> pending;

size_t BytesOf(size_t count, int type) {
  return count * (type == kNcclFloat32 ? 4 : 1);
}

void Note(const std::string& call) {
  const std::lock_guard<std::mutex> lock(fake->mutex);
  fake->calls[fake_rank].push_back(call);
}

void Post(const void* from, size_t bytes, int peer) {
  const std::lock_guard<std::mutex> lock(fake->mutex);
  const auto* data = static_cast<const uint8_t*>(from);
  fake->messages[{fake_rank, peer}].emplace_back(data, data + bytes);
  fake->changed.notify_all();
}

void Take(const PendingReceive& receive) {
  std::unique_lock<std::mutex> lock(fake->mutex);
  auto& queue = fake->messages[{receive.peer, fake_rank}];
  fake->changed.wait(lock, [&] { return !queue.empty(); });
  EXPECT_EQ(queue.front().size(), receive.bytes);
  std::memcpy(receive.to, queue.front().data(), receive.bytes);
  queue.erase(queue.begin());
}

int Send(const void* from, size_t count, int type, int peer, NcclComm, void*) {
  Note("send " + std::to_string(BytesOf(count, type)));
  Post(from, BytesOf(count, type), peer);
  return 0;
}

int Recv(void* to, size_t count, int type, int peer, NcclComm, void*) {
  Note("receive " + std::to_string(BytesOf(count, type)));
  pending.push_back({to, BytesOf(count, type), peer});
  if (!in_group) {
    Take(pending.back());
    pending.clear();
  }
  return 0;
}

int AllGather(const void* block, void* all, size_t count, int type, NcclComm,
              void*) {
  const size_t bytes = BytesOf(count, type);
  Note("all-gather " + std::to_string(bytes));
  for (int peer = 0; peer < fake_size; ++peer) Post(block, bytes, peer);
  for (int peer = 0; peer < fake_size; ++peer) {
    Take({static_cast<uint8_t*>(all) + peer * bytes, bytes, peer});
  }
  return 0;
}

// Adds in an order that is no tree: rank by rank, from the last to the first.
int AllReduce(const void* from, void* to, size_t count, int type, int operation,
              NcclComm, void*) {
  EXPECT_EQ(type, kNcclFloat32);
  EXPECT_EQ(operation, kNcclSum);
  const size_t bytes = BytesOf(count, type);
  Note("all-reduce " + std::to_string(bytes));
  for (int peer = 0; peer < fake_size; ++peer) Post(from, bytes, peer);
  std::vector<float> block(count), sums(count);
  for (int peer = fake_size - 1; peer >= 0; --peer) {
    Take({block.data(), bytes, peer});
    for (size_t i = 0; i < count; ++i) sums[i] += block[i];
  }
  std::memcpy(to, sums.data(), bytes);
  return 0;
}

NcclApi Functions() {
  NcclApi api = {};
  api.GetVersion = [](int* version) {
    *version = fake_rank % 2 == 1 ? fake->version_of_odd_ranks : 22809;
    return 0;
  };
  api.GetUniqueId = [](NcclUniqueId* id) {
    std::strcpy(id->bytes, "the world");
    return 0;
  };
  api.CommInitRankConfig = [](NcclComm* comm, int ranks, NcclUniqueId id,
                              int rank, NcclConfig* config) {
    EXPECT_STREQ(id.bytes, "the world");
    EXPECT_EQ(config->blocking, 0);
    EXPECT_EQ(rank, fake_rank);
    EXPECT_EQ(ranks, fake_size);
    *comm = reinterpret_cast<NcclComm>(fake);
    const std::lock_guard<std::mutex> lock(fake->mutex);
    fake->aborts_of[fake_rank] = 0;
    return kNcclInProgress;
  };
  api.CommGetAsyncError = [](NcclComm, int* error) {
    *error = fake->async_state;
    return 0;
  };
  api.CommAbort = [](NcclComm) {
    const std::lock_guard<std::mutex> lock(fake->mutex);
    ++fake->aborts;
    ++fake->aborts_of[fake_rank];
    return 0;
  };
  api.CommRegister = [](NcclComm, void* buffer, size_t bytes, void** handle) {
    EXPECT_GT(bytes, 0u);
    if (fake->register_result == kNcclSuccess) {
      const std::lock_guard<std::mutex> lock(fake->mutex);
      ++fake->registered[fake_rank];
      *handle = buffer;
    }
    return fake->register_result;
  };
  api.CommDeregister = [](NcclComm, void* handle) {
    EXPECT_NE(handle, nullptr);
    const std::lock_guard<std::mutex> lock(fake->mutex);
    // Before the memory goes, and before the communicator does.
    EXPECT_EQ(fake->aborts_of[fake_rank], 0);
    --fake->registered[fake_rank];
    return 0;
  };
  api.AllGather = AllGather;
  api.AllReduce = AllReduce;
  api.Broadcast = [](const void*, void*, size_t, int, int, NcclComm, void*) {
    return 0;
  };
  api.Send = Send;
  api.Recv = Recv;
  api.GroupStart = [] {
    Note("group");
    in_group = true;
    return 0;
  };
  api.GroupEnd = [] {
    in_group = false;
    for (const PendingReceive& receive : pending) Take(receive);
    pending.clear();
    return 0;
  };
  api.GetErrorString = [](int) { return "an error of NCCL's"; };
  return api;
}

// Passed as soon as they are set, as long as the device moves.
class FakeMarks : public StreamMarks {
 public:
  absl::Status Set(uint64_t number) override {
    last_ = number;
    return absl::OkStatus();
  }
  absl::StatusOr<uint64_t> Passed() override {
    if (fake->device_fails) return absl::InternalError("illegal address");
    if (!fake->device_stands) passed_ = last_.load();
    return passed_;
  }

 private:
  std::atomic<uint64_t> last_ = 0;
  uint64_t passed_ = 0;  // of the watching thread
};

// The host's memory as a device's.
class HostDevice : public Device {
 public:
  std::string name() const override { return "host"; }
  int64_t free_bytes() const override { return 0; }
  absl::StatusOr<void*> Allocate(size_t bytes, const char*) override {
    return ::operator new(bytes);
  }
  void Free(void* memory) override { ::operator delete(memory); }
  absl::Status Upload(const void*, int64_t, size_t, size_t, void*) override {
    return absl::OkStatus();
  }
  absl::Status Draw(const RandomTensor&, const RandomSlice&, void*) override {
    return absl::OkStatus();
  }
  size_t BackendBytes(const BackendLimits&) const override { return 0; }
  absl::StatusOr<std::unique_ptr<Backend>> MakeBackend(
      const BackendLimits&) override {
    return absl::UnimplementedError("not here");
  }
  absl::StatusOr<std::unique_ptr<StreamMarks>> MakeMarks(void*) override {
    return std::make_unique<FakeMarks>();
  }
};

// Returns once all ranks call it.
void Meet(Communicator& host) {
  const uint8_t own = 1;
  std::vector<uint8_t> all(host.size());
  EXPECT_TRUE(
      host.AllGather(absl::MakeConstSpan(&own, 1), absl::MakeSpan(all)).ok());
}

// Waits for the watching thread's verdict.
absl::Status FirstError(const NcclCommunicator& nccl) {
  while (nccl.status().ok()) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return nccl.status();
}

class NcclCommunicatorTest : public testing::Test {
 protected:
  void SetUp() override { fake = &fake_; }

  // body(communicator or error, host) on `ranks` threads.
  template <typename Body>
  void Run(int ranks, int64_t most_floats, Body body) {
    RunRanks(CommKind::kShm, ranks, [&](Communicator& host) {
      fake_rank = host.rank();
      fake_size = host.size();
      HostDevice device;
      ThreadPool pool(1);
      const std::unique_ptr<Backend> backend = MakeCpuBackend(&pool);
      NcclOptions options;
      options.api = &api_;
      options.host = &host;
      options.device = &device;
      options.backend = backend.get();
      options.most_floats = most_floats;
      options.nccl_sums = nccl_sums_;
      options.connect_timeout = absl::Milliseconds(50);
      options.timeout = timeout_;
      options.host_name = "node-" + std::to_string(host.rank());
      options.dump = [&](const std::string& text) {
        const std::lock_guard<std::mutex> lock(fake_.mutex);
        fake_.dumps[host.rank()] = text;
      };
      body(MakeNcclCommunicator(options), host);
    });
  }

  FakeNccl fake_;
  bool nccl_sums_ = false;
  // Of a device that stands still; long where none does.
  absl::Duration timeout_ = absl::Minutes(5);
  NcclApi api_ = Functions();
};

// Sums that depend on their order: those of the host's communicator.
TEST_F(NcclCommunicatorTest, SumsHaveTheBitsOfEveryOtherCommunicator) {
  for (const int ranks : {2, 4}) {
    for (const int64_t count : {1, 1000, 100001}) {
      Run(ranks, count, [&](auto nccl, Communicator& host) {
        ASSERT_TRUE(nccl.ok()) << nccl.status();
        std::vector<float> values(count);
        for (int64_t i = 0; i < count; ++i) {
          values[i] = 1.0f / static_cast<float>(3 + i + 7 * host.rank());
        }
        std::vector<float> expected = values;
        ASSERT_TRUE(host.AllReduceSum(absl::MakeSpan(expected)).ok());
        const absl::Status status =
            (*nccl)->AllReduceSum(absl::MakeSpan(values));
        ASSERT_TRUE(status.ok()) << status;
        EXPECT_EQ(std::memcmp(values.data(), expected.data(), 4 * count), 0);
      });
    }
  }
}

TEST_F(NcclCommunicatorTest, EveryRankMakesTheSameCallsInTheSameOrder) {
  Run(4, 100000, [&](auto nccl, Communicator&) {
    ASSERT_TRUE(nccl.ok()) << nccl.status();
    std::vector<float> few(10), many(100000);
    ASSERT_TRUE((*nccl)->AllReduceSum(absl::MakeSpan(few)).ok());
    ASSERT_TRUE((*nccl)->AllReduceSum(absl::MakeSpan(many)).ok());
  });
  const std::vector<std::string> first = fake_.calls[0];
  EXPECT_THAT(first, testing::Contains("all-gather 40"));
  EXPECT_THAT(first, testing::Contains("group"));
  for (int rank = 1; rank < 4; ++rank) EXPECT_EQ(fake_.calls[rank], first);
}

// Whatever the size, one call and no block of ours in between.
TEST_F(NcclCommunicatorTest, NcclAddsWhereTheUserPrefersSpeed) {
  nccl_sums_ = true;
  for (const int ranks : {2, 4}) {
    for (const int64_t count : {1, 1000, 100001}) {
      fake_.calls.clear();
      Run(ranks, count, [&](auto nccl, Communicator& host) {
        ASSERT_TRUE(nccl.ok()) << nccl.status();
        const auto value = [&](int rank, int64_t i) {
          return 1.0f / static_cast<float>(3 + i + 7 * rank);
        };
        std::vector<float> values(count), expected(count);
        for (int64_t i = 0; i < count; ++i) {
          values[i] = value(host.rank(), i);
          for (int r = ranks - 1; r >= 0; --r) expected[i] += value(r, i);
        }
        const absl::Status status =
            (*nccl)->AllReduceSum(absl::MakeSpan(values));
        ASSERT_TRUE(status.ok()) << status;
        EXPECT_EQ(values, expected);
        const std::lock_guard<std::mutex> lock(fake_.mutex);
        EXPECT_EQ(fake_.registered[host.rank()], 2);
      });
      for (int rank = 0; rank < ranks; ++rank) {
        EXPECT_THAT(
            fake_.calls[rank],
            testing::ElementsAre("all-reduce " + std::to_string(4 * count)));
        EXPECT_EQ(fake_.registered[rank], 0);
      }
    }
  }
}

// Buffers are registered once, at the start, and given back in the end; calls
// stay what they are without.
TEST_F(NcclCommunicatorTest, BuffersAreRegisteredWhereNcclCan) {
  std::vector<std::string> calls;
  enum class Library { kRegisters, kRefuses, kIsOlder };
  for (const Library library :
       {Library::kRegisters, Library::kRefuses, Library::kIsOlder}) {
    fake_.calls.clear();
    fake_.register_result = library == Library::kRefuses ? 5 : kNcclSuccess;
    if (library == Library::kIsOlder) {
      api_.CommRegister = nullptr;
      api_.CommDeregister = nullptr;
    }
    Run(2, 100000, [&](auto nccl, Communicator& host) {
      ASSERT_TRUE(nccl.ok()) << nccl.status();
      {
        const std::lock_guard<std::mutex> lock(fake_.mutex);
        EXPECT_EQ(fake_.registered[host.rank()],
                  library == Library::kRegisters ? 2 : 0);
      }
      std::vector<float> many(100000);
      ASSERT_TRUE((*nccl)->AllReduceSum(absl::MakeSpan(many)).ok());
    });
    EXPECT_EQ(fake_.registered[0], 0);
    EXPECT_EQ(fake_.registered[1], 0);
    if (calls.empty()) calls = fake_.calls[0];
    EXPECT_EQ(fake_.calls[0], calls);
    EXPECT_EQ(fake_.calls[1], calls);
  }
}

// An abort takes the communicator, and what is registered with it.
TEST_F(NcclCommunicatorTest, NothingIsGivenBackToAnAbortedCommunicator) {
  Run(2, 8, [&](auto nccl, Communicator& host) {
    ASSERT_TRUE(nccl.ok()) << nccl.status();
    Meet(host);
    (*nccl)->Abort(absl::UnavailableError("a rank is gone"));
  });
  EXPECT_EQ(fake_.aborts, 2);
  EXPECT_EQ(fake_.registered[0], 2);
}

TEST(LoadNcclTest, ALibraryThatIsNotThereIsNamedWithWhatToDo) {
  setenv("FACET_NCCL", "/nonexistent/libnccl.so", 1);
  const auto api = LoadNccl();
  EXPECT_EQ(api.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(api.status().message()),
              testing::HasSubstr("/nonexistent/libnccl.so"));
  EXPECT_THAT(std::string(api.status().message()),
              testing::HasSubstr("FACET_NCCL"));
}

TEST_F(NcclCommunicatorTest, DifferentVersionsAreNamedByRank) {
  fake_.version_of_odd_ranks = 21803;
  Run(2, 1, [&](auto nccl, Communicator&) {
    ASSERT_EQ(nccl.status().code(), absl::StatusCode::kFailedPrecondition);
    const std::string message(nccl.status().message());
    EXPECT_THAT(message, testing::HasSubstr("rank 0 (node-0) has 2.28.9"));
    EXPECT_THAT(message, testing::HasSubstr("rank 1 (node-1) has 2.18.3"));
  });
}

TEST_F(NcclCommunicatorTest, ARankThatNeverArrivesEndsTheWaitOfTheOthers) {
  fake_.async_state = kNcclInProgress;
  Run(2, 1, [&](auto nccl, Communicator& host) {
    EXPECT_EQ(nccl.status().code(), absl::StatusCode::kDeadlineExceeded);
    if (host.rank() != 0) return;
    EXPECT_THAT(std::string(nccl.status().message()),
                testing::HasSubstr("rank 0 (node-0) waited for rank 1 "
                                   "(node-1)"));
  });
  EXPECT_EQ(fake_.aborts, 2);
}

// Whoever adds, aborts and deadlines are the same.
class NcclSumsTest : public NcclCommunicatorTest,
                     public testing::WithParamInterface<bool> {
 protected:
  NcclSumsTest() { nccl_sums_ = GetParam(); }
  const std::string name_ = GetParam() ? "all-reduce by NCCL" : "all-reduce";
};

TEST_P(NcclSumsTest, AfterAnAbortEveryCallTellsTheLastOnes) {
  Run(2, 8, [&](auto nccl, Communicator& host) {
    ASSERT_TRUE(nccl.ok()) << nccl.status();
    std::vector<float> values(8);
    ASSERT_TRUE((*nccl)->AllReduceSum(absl::MakeSpan(values)).ok());
    if (host.rank() != 0) return;
    (*nccl)->Abort(absl::UnavailableError("rank 1 is gone"));
    const absl::Status status = (*nccl)->AllReduceSum(absl::MakeSpan(values));
    EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
    EXPECT_THAT(std::string(status.message()),
                testing::HasSubstr("rank 1 is gone"));
    EXPECT_THAT(std::string(status.message()),
                testing::HasSubstr("#1 " + name_ + " 32 B"));
  });
}

TEST_P(NcclSumsTest, ACallThatHangsIsAbortedAndTold) {
  timeout_ = absl::Milliseconds(50);
  Run(2, 8, [&](auto nccl, Communicator&) {
    ASSERT_TRUE(nccl.ok()) << nccl.status();
    std::vector<float> values(8);
    ASSERT_TRUE((*nccl)->AllReduceSum(absl::MakeSpan(values)).ok());
    fake->device_stands = true;
    (*nccl)->AllReduceSum(absl::MakeSpan(values)).IgnoreError();
    const absl::Status status = FirstError(**nccl);
    EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded);
    const int rank = (*nccl)->rank();
    const std::string self = std::to_string(rank);
    const std::string peer = std::to_string(1 - rank);
    const std::string message(status.message());
    EXPECT_THAT(message, testing::HasSubstr("rank " + self + " (node-" + self +
                                            ") of 2: #"));
    EXPECT_THAT(message, testing::HasSubstr(
                             name_ + " 32 B has not been finished for 50ms"));
    EXPECT_THAT(message, testing::HasSubstr("it waits for rank " + peer +
                                            " (node-" + peer + ")"));
    EXPECT_EQ((*nccl)->AllReduceSum(absl::MakeSpan(values)), status);
  });
  EXPECT_EQ(fake_.aborts, 2);
  for (int rank = 0; rank < 2; ++rank) {
    EXPECT_THAT(fake_.dumps[rank], testing::HasSubstr(name_ + " 32 B"));
    EXPECT_THAT(fake_.dumps[rank], testing::HasSubstr("queued"));
  }
}

INSTANTIATE_TEST_SUITE_P(WhoAdds, NcclSumsTest, testing::Bool(),
                         [](const auto& info) {
                           return info.param ? "Nccl" : "Facet";
                         });

TEST_F(NcclCommunicatorTest, ACallThatNcclDoesNotTakeEndsInTheSameWay) {
  timeout_ = absl::Milliseconds(50);
  Run(2, 8, [&](auto nccl, Communicator& host) {
    ASSERT_TRUE(nccl.ok()) << nccl.status();
    Meet(host);
    uint8_t byte = 0;
    fake->async_state = kNcclInProgress;
    const absl::Status status = (*nccl)->Send(absl::MakeSpan(&byte, 1), 1);
    EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded);
    EXPECT_THAT(
        std::string(status.message()),
        testing::HasSubstr("#1 send 1 B to rank 1 has not been taken for"));
  });
}

TEST_F(NcclCommunicatorTest, AnErrorOfNcclsIsFoundBetweenCalls) {
  Run(2, 8, [&](auto nccl, Communicator& host) {
    ASSERT_TRUE(nccl.ok()) << nccl.status();
    Meet(host);
    fake->async_state = 6;
    const absl::Status status = FirstError(**nccl);
    EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
    EXPECT_THAT(std::string(status.message()),
                testing::HasSubstr("asynchronous error: an error of NCCL's"));
  });
  EXPECT_EQ(fake_.aborts, 2);
}

TEST_F(NcclCommunicatorTest, ADeviceThatFailsIsToldInItsOwnWords) {
  Run(2, 8, [&](auto nccl, Communicator&) {
    ASSERT_TRUE(nccl.ok()) << nccl.status();
    fake->device_fails = true;
    EXPECT_THAT(std::string(FirstError(**nccl).message()),
                testing::HasSubstr("illegal address"));
  });
}

}  // namespace
}  // namespace facet
