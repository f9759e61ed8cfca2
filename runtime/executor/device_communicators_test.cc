#include "runtime/executor/device_communicators.h"

#include <mutex>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "kernels/backend/cpu_backend.h"
#include "kernels/base/thread_pool.h"
#include "runtime/comm/nccl_api.h"
#include "runtime/comm/testing/run_ranks.h"

namespace facet {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

// One that only says whether NCCL could carry its messages.
class NamedDevice : public Device {
 public:
  explicit NamedDevice(bool speaks_nccl) : speaks_nccl_(speaks_nccl) {}

  std::string name() const override { return "a device"; }
  int64_t free_bytes() const override { return 0; }
  bool speaks_nccl() const override { return speaks_nccl_; }
  absl::StatusOr<void*> Allocate(size_t, const char*) override {
    return absl::ResourceExhaustedError("not here");
  }
  void Free(void*) override {}
  absl::Status Upload(const void*, int64_t, size_t, size_t, void*) override {
    return absl::UnimplementedError("not here");
  }
  absl::Status Draw(const RandomTensor&, const RandomSlice&, void*) override {
    return absl::UnimplementedError("not here");
  }
  size_t BackendBytes(const BackendLimits&) const override { return 0; }
  absl::StatusOr<std::unique_ptr<Backend>> MakeBackend(
      const BackendLimits&) override {
    return absl::UnimplementedError("not here");
  }
  absl::StatusOr<std::unique_ptr<StreamMarks>> MakeMarks(void*) override {
    return absl::UnimplementedError("not here");
  }

 private:
  const bool speaks_nccl_;
};

// What is said where the ranks in `speak` have devices for NCCL, of which no
// rank has the library.
std::vector<std::string> SaidBy(int ranks, const std::vector<int>& speak) {
  setenv("FACET_NCCL", "/nonexistent/libnccl.so.2", 1);
  std::mutex mutex;
  std::vector<std::string> said;
  RunRanks(CommKind::kShm, ranks, [&](Communicator& world) {
    NamedDevice device(
        testing::Value(world.rank(), testing::AnyOfArray(speak)));
    ThreadPool pool(1);
    const std::unique_ptr<Backend> backend = MakeCpuBackend(&pool);
    ConnectOptions options;
    options.most_floats = 8;
    options.host_name = "node-" + std::to_string(world.rank() / 2);
    options.log = [&](const std::string& line) {
      const std::lock_guard<std::mutex> lock(mutex);
      said.push_back(line);
    };
    const auto made =
        ConnectDevices(&world, &world, &device, backend.get(), options);
    ASSERT_TRUE(made.ok()) << made.status();
    EXPECT_THAT(made->nccl, IsEmpty());
    // Messages come through all the same.
    std::vector<float> values(8, static_cast<float>(world.rank() + 1));
    ASSERT_TRUE(made->tp->AllReduceSum(absl::MakeSpan(values)).ok());
    EXPECT_EQ(values[7], static_cast<float>(ranks * (ranks + 1) / 2));
  });
  return said;
}

TEST(DeviceCommunicatorsTest, WhoLacksNcclIsToldOnceWithWhatToDo) {
  const std::vector<std::string> said = SaidBy(4, {0, 1, 2, 3});
  ASSERT_EQ(said.size(), 1u);
  EXPECT_THAT(said[0], HasSubstr("through the hosts' memory"));
  EXPECT_THAT(said[0], HasSubstr("ranks 0 (node-0), 1 (node-0), 2 (node-1), 3 "
                                 "(node-1): NCCL: /nonexistent/libnccl.so.2"));
  EXPECT_THAT(said[0], HasSubstr("libnccl2"));
  EXPECT_THAT(said[0], HasSubstr("FACET_NCCL"));
}

TEST(DeviceCommunicatorsTest, RanksWithAProblemOfTheirOwnAreNamedApart) {
  const std::vector<std::string> said = SaidBy(4, {0, 1, 3});
  ASSERT_EQ(said.size(), 1u);
  EXPECT_THAT(said[0], HasSubstr("rank 2 (node-1): its device knows no NCCL"));
  EXPECT_THAT(said[0],
              HasSubstr("ranks 0 (node-0), 1 (node-0), 3 (node-1): NCCL: "));
}

TEST(DeviceCommunicatorsTest, NothingIsSaidWhereNoDeviceCould) {
  EXPECT_THAT(SaidBy(2, {}), IsEmpty());
  EXPECT_THAT(SaidBy(1, {0}), IsEmpty()) << "nobody to talk to";
}

}  // namespace
}  // namespace facet
