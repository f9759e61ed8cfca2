// Messages of NCCL's inside the graphs of a device. Devices are emulated, and
// so is NCCL; the communicator and the backend between them are the real ones.
#include "tests/gpu/emulated_nccl.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/emulated_stream.h"
#include "runtime/comm/nccl_communicator.h"
#include "runtime/comm/testing/run_ranks.h"

namespace facet {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

constexpr int64_t kMostFloats = (1 << 20) + 8;

// A rank with a device of its own, and steps of kernels and sums.
class Rank {
 public:
  Rank(Communicator* host, NcclOptions options) : host_(*host) {
    device_ = *emulated::OpenDevice(0);
    BackendLimits limits;
    limits.tokens = 8;
    limits.head_dim = 64;
    backend_ = *device_->MakeBackend(limits);
    values_ = *DeviceMemory::Allocate(device_.get(),
                                      kMostFloats * sizeof(float), "values");
    options.host = host;
    options.device = device_.get();
    options.backend = backend_.get();
    Connect(options);
  }

  void Connect(const NcclOptions& options) {
    auto nccl = MakeNcclCommunicator(options);
    ASSERT_TRUE(nccl.ok()) << nccl.status();
    nccl_ = *std::move(nccl);
  }

  // `sums` of them with kernels before each; the results.
  absl::StatusOr<std::vector<float>> Step(int64_t count, int sums) {
    std::vector<float> host(count);
    Start(&host);
    const absl::Span<float> values(static_cast<float*>(values_.data()), count);
    backend_->BeginStep();
    absl::Status status =
        backend_->Write(host.data(), count * sizeof(float), values.data());
    for (int sum = 0; sum < sums && status.ok(); ++sum) {
      for (int i = 0; i < kKernels; ++i) {
        backend_->Scale("kernel", values.first(std::min(count, kScaled)),
                        Factor(i));
      }
      status = nccl_->AllReduceSum(values);
    }
    if (!status.ok()) return status;
    status = backend_->Read(values.data(), count * sizeof(float), host.data());
    if (!status.ok()) return status;
    if (!nccl_->status().ok()) return nccl_->status();
    return host;
  }

  // The same on the host, by its own communicator.
  std::vector<float> Expected(int64_t count, int sums) {
    std::vector<float> host(count);
    Start(&host);
    for (int sum = 0; sum < sums; ++sum) {
      for (int i = 0; i < kKernels; ++i) {
        for (int64_t v = 0; v < std::min(count, kScaled); ++v) {
          host[v] *= Factor(i);
        }
      }
      EXPECT_TRUE(host_.AllReduceSum(absl::MakeSpan(host)).ok());
    }
    return host;
  }

  void ExpectSteps(int steps, int64_t count, int sums) {
    const std::vector<float> expected = Expected(count, sums);
    for (int step = 0; step < steps; ++step) {
      const auto found = Step(count, sums);
      ASSERT_TRUE(found.ok()) << found.status();
      EXPECT_EQ(
          std::memcmp(found->data(), expected.data(), count * sizeof(float)), 0)
          << "step " << step;
    }
  }

  emulated::LaunchCounts counts() const {
    return emulated::CountsOf(*backend_);
  }
  NcclCommunicator& nccl() { return *nccl_; }
  Device* device() { return device_.get(); }
  void Disconnect() { nccl_.reset(); }

  static constexpr int kKernels = 6;
  // Values that kernels change: emulated threads take their time.
  static constexpr int64_t kScaled = 256;

 private:
  static float Factor(int i) { return i % 2 == 0 ? 1.1f : 0.7f; }
  void Start(std::vector<float>* values) {
    for (size_t i = 0; i < values->size(); ++i) {
      (*values)[i] = 1.0f / static_cast<float>(3 + i + 7 * host_.rank());
    }
  }

  Communicator& host_;
  std::unique_ptr<Device> device_;
  std::unique_ptr<Backend> backend_;
  DeviceMemory values_;
  std::unique_ptr<NcclCommunicator> nccl_;
};

class EmulatedNcclTest : public testing::Test {
 protected:
  EmulatedNcclTest() : nccl_(StartEmulatedNccl()) {
    options_.api = &EmulatedNcclApi();
    options_.most_floats = kMostFloats;
    options_.in_graphs = true;
    // Where nothing hangs nothing is a matter of time.
    options_.timeout = options_.trial_timeout = absl::Minutes(10);
    options_.host_name = "node";
    options_.dump = [](const std::string&) {};
    options_.log = [this](const std::string& line) {
      const std::lock_guard<std::mutex> lock(mutex_);
      log_.push_back(line);
    };
  }
  ~EmulatedNcclTest() override {
    emulated::Abilities().messages_in_graphs = true;
    emulated::Abilities().recordings_left = -1;
    EXPECT_EQ(nccl_.broken_rule, "");
    EXPECT_EQ(nccl_.aborts_ended, nccl_.communicators);
    EXPECT_EQ(nccl_.aborts_begun, nccl_.communicators);
  }

  template <typename Body>
  void Run(int ranks, Body body) {
    RunRanks(CommKind::kShm, ranks, [&](Communicator& host) {
      Rank rank(&host, options_);
      body(rank);
    });
  }

  EmulatedNccl& nccl_;
  NcclOptions options_;
  std::mutex mutex_;
  std::vector<std::string> log_;
};

// Five steps of six sums: the first sum is asked of NCCL, the second recorded,
// and from the third step on a step is one graph.
TEST_F(EmulatedNcclTest, AStepWithItsMessagesIsOneGraph) {
  for (const int ranks : {2, 4}) {
    StartEmulatedNccl();
    Run(ranks, [&](Rank& rank) {
      ASSERT_TRUE(rank.nccl().in_graphs());
      const auto before = rank.counts();
      EXPECT_EQ(before.graphs_made, 1) << "that of the trial";
      rank.ExpectSteps(5, 100, 6);
      const auto after = rank.counts();
      EXPECT_EQ(after.graphs_made - before.graphs_made, 1);
      EXPECT_EQ(after.graphs_run - before.graphs_run, 3);
      EXPECT_EQ(after.messages - before.messages, 29);
      EXPECT_EQ(after.messages_alone - before.messages_alone, 5 + 6);
      EXPECT_EQ(after.refused, 0);
    });
    EXPECT_EQ(nccl_.called["all-gather 400"], 1);
    EXPECT_EQ(nccl_.recorded["all-gather 400"], 1);
    EXPECT_EQ(nccl_.replayed["all-gather 400"], 29);
    EXPECT_EQ(nccl_.communicators, ranks);
  }
  EXPECT_THAT(log_, IsEmpty());
}

TEST_F(EmulatedNcclTest, SumsOfEverySizeAreRecordedOnceEach) {
  Run(2, [&](Rank& rank) {
    for (int round = 0; round < 3; ++round) {
      for (const int64_t count : {1, 30, 32768}) rank.ExpectSteps(1, count, 2);
    }
  });
  for (const char* call :
       {"all-gather 4", "all-gather 120", "all-gather 131072"}) {
    EXPECT_EQ(nccl_.called[call], 1) << call;
    EXPECT_EQ(nccl_.recorded[call], 1) << call;
    EXPECT_EQ(nccl_.replayed[call], 5) << call;
  }
}

// Cut into parts, and two messages each.
TEST_F(EmulatedNcclTest, LargerSumsOfDecodingAreGraphsToo) {
  Run(2, [&](Rank& rank) {
    rank.ExpectSteps(2, 40000, 3);
    const auto before = rank.counts();
    rank.ExpectSteps(3, 40000, 3);
    const auto after = rank.counts();
    EXPECT_EQ(after.graphs_made - before.graphs_made, 1);
    EXPECT_EQ(after.graphs_run - before.graphs_run, 3);
    EXPECT_EQ(after.messages_alone - before.messages_alone, 0);
  });
  for (const char* call : {"exchange 160000", "all-gather 80000"}) {
    EXPECT_EQ(nccl_.called[call], 1) << call;
    EXPECT_EQ(nccl_.recorded[call], 1) << call;
    EXPECT_EQ(nccl_.replayed[call], 14) << call;
  }
}

TEST_F(EmulatedNcclTest, SumsOfLongPromptsStayBetweenGraphs) {
  Run(2, [&](Rank& rank) { rank.ExpectSteps(3, kMostFloats, 1); });
  EXPECT_EQ(nccl_.called["exchange " + std::to_string(4 * kMostFloats)], 3);
  EXPECT_EQ(nccl_.recorded.size(), 1u) << "the trial's";
}

TEST_F(EmulatedNcclTest, NcclsOwnSumsAreRecordedWhereTheyAreSmall) {
  options_.nccl_sums = true;
  Run(2, [&](Rank& rank) {
    ASSERT_TRUE(rank.nccl().in_graphs());
    const auto first = rank.Step(100, 2);
    ASSERT_TRUE(first.ok()) << first.status();
    for (int step = 0; step < 4; ++step) EXPECT_EQ(*rank.Step(100, 2), *first);
    for (int step = 0; step < 3; ++step) {
      EXPECT_TRUE(rank.Step(kMostFloats, 1).ok());
    }
  });
  EXPECT_EQ(nccl_.called["all-reduce 400"], 1);
  EXPECT_EQ(nccl_.recorded["all-reduce 400"], 1);
  EXPECT_EQ(nccl_.replayed["all-reduce 400"], 9);
  const std::string large = "all-reduce " + std::to_string(4 * kMostFloats);
  EXPECT_EQ(nccl_.called[large], 3);
  EXPECT_EQ(nccl_.recorded[large], 0);
}

TEST_F(EmulatedNcclTest, NothingIsTriedUnlessAskedFor) {
  options_.in_graphs = false;
  Run(2, [&](Rank& rank) { rank.ExpectSteps(4, 100, 6); });
  EXPECT_EQ(nccl_.called["all-gather 400"], 24);
  EXPECT_THAT(nccl_.recorded, IsEmpty());
  EXPECT_THAT(log_, IsEmpty());
}

// The trial's failures, each with what the log says of it.
struct Refusal {
  const char* name;
  void (*refuse)(EmulatedNccl& nccl);
  const char* told;
};

class RefusalTest : public EmulatedNcclTest,
                    public testing::WithParamInterface<Refusal> {};

TEST_P(RefusalTest, MessagesStayBetweenGraphsAndThatIsToldOnce) {
  std::atomic<bool> failed = false;
  options_.graphs_failed = &failed;
  GetParam().refuse(nccl_);
  if (nccl_.replays_hang) options_.trial_timeout = absl::Milliseconds(100);
  Run(2, [&](Rank& rank) {
    EXPECT_FALSE(rank.nccl().in_graphs());
    rank.ExpectSteps(4, 100, 6);
    EXPECT_EQ(rank.counts().messages_alone, rank.counts().messages);
  });
  EXPECT_TRUE(failed) << "the next world does without";
  EXPECT_EQ(nccl_.called["all-gather 400"], 24);
  EXPECT_EQ(nccl_.recorded["all-gather 400"], 0);
  EXPECT_EQ(nccl_.communicators, 4) << "what failed may be spoilt";
  ASSERT_EQ(log_.size(), 1u);
  EXPECT_THAT(log_[0], HasSubstr("messages stay between graphs"));
  EXPECT_THAT(log_[0], HasSubstr(GetParam().told));
  EXPECT_THAT(log_[0], HasSubstr("(node): "));
}

INSTANTIATE_TEST_SUITE_P(
    Trials, RefusalTest,
    testing::Values(
        Refusal{
            "NothingIsRecorded",
            [](EmulatedNccl&) { emulated::Abilities().recordings_left = 0; },
            "records no more"},
        // The other finds nothing wrong, and does without all the same.
        Refusal{
            "OneRankDoesNotRecord",
            [](EmulatedNccl&) { emulated::Abilities().recordings_left = 1; },
            "records no more"},
        Refusal{"NoGraphsInGraphs",
                [](EmulatedNccl&) {
                  emulated::Abilities().messages_in_graphs = false;
                },
                "refuses graphs of them"},
        Refusal{"RecordingsHang",
                [](EmulatedNccl& nccl) { nccl.replays_hang = true; },
                "has not come through within 100ms"}),
    [](const auto& info) { return info.param.name; });

// On whichever rank: all have to do alike.
TEST_F(EmulatedNcclTest, WhereTheyHaveFailedBeforeTheyAreNotTried) {
  std::atomic<bool> failed = true;
  RunRanks(CommKind::kShm, 2, [&](Communicator& host) {
    NcclOptions options = options_;
    if (host.rank() == 1) options.graphs_failed = &failed;
    Rank rank(&host, options);
    EXPECT_FALSE(rank.nccl().in_graphs());
    rank.ExpectSteps(4, 100, 6);
  });
  EXPECT_THAT(nccl_.recorded, IsEmpty());
  EXPECT_EQ(nccl_.communicators, 2);
  ASSERT_EQ(log_.size(), 1u);
  EXPECT_THAT(log_[0], HasSubstr("rank 1 (node): FACET_NCCL_GRAPHS=0"));
}

TEST_F(EmulatedNcclTest, ALaterRecordingThatFailsLeavesRightSums) {
  emulated::Abilities().recordings_left = 2 + 2;  // the trial's, and one size
  Run(2, [&](Rank& rank) {
    rank.ExpectSteps(4, 100, 6);
    EXPECT_TRUE(rank.nccl().in_graphs());
    rank.ExpectSteps(4, 50, 6);
    EXPECT_FALSE(rank.nccl().in_graphs());
    rank.ExpectSteps(4, 100, 6);
  });
  EXPECT_EQ(nccl_.replayed["all-gather 400"], 23);
  EXPECT_EQ(nccl_.called["all-gather 400"], 1 + 24);
  EXPECT_EQ(nccl_.called["all-gather 200"], 24);
  ASSERT_EQ(log_.size(), 1u);
}

// Graphs go before their communicator does, or it would never end; the next one
// records anew.
TEST_F(EmulatedNcclTest, ANewEpochHasRecordingsOfItsOwn) {
  RunRanks(CommKind::kShm, 2, [&](Communicator& host) {
    for (int epoch = 0; epoch < 3; ++epoch) {
      Rank rank(&host, options_);
      ASSERT_TRUE(rank.nccl().in_graphs());
      rank.ExpectSteps(4, 100, 6);
    }
  });
  EXPECT_EQ(nccl_.recorded["all-gather 400"], 3);
  EXPECT_EQ(nccl_.communicators, 6);
}

TEST_F(EmulatedNcclTest, AGraphThatHangsIsAbortedAndNotTriedAgain) {
  std::atomic<bool> failed = false;
  options_.graphs_failed = &failed;
  // Long beside what steps take here that do not hang.
  options_.timeout = absl::Seconds(4);
  Run(2, [&](Rank& rank) {
    rank.ExpectSteps(4, 100, 6);
    nccl_.replays_hang = true;
    const auto found = rank.Step(100, 6);
    EXPECT_EQ(found.status().code(), absl::StatusCode::kDeadlineExceeded)
        << found.status();
    EXPECT_THAT(std::string(found.status().message()),
                HasSubstr("all-reduce 400 B has not been finished for 4s"));
    // Nothing more is asked of it.
    EXPECT_EQ(rank.Step(100, 6).status(), found.status());
  });
  EXPECT_TRUE(failed);
}

// From a thread that has to see to the graphs later: it must not wait for them.
TEST_F(EmulatedNcclTest, AnAbortDoesNotWaitForGraphs) {
  Run(2, [&](Rank& rank) {
    rank.ExpectSteps(4, 100, 6);
    rank.nccl().Abort(absl::UnavailableError("a rank is gone"));
    EXPECT_EQ(rank.Step(100, 6).status().code(),
              absl::StatusCode::kUnavailable);
    EXPECT_LT(nccl_.aborts_ended, 2);
  });
}

}  // namespace
}  // namespace facet
