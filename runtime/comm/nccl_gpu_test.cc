// NCCL's messages in graphs of a GPU: what one of them can show of it, in a
// world of one rank. deploy/gpu_check runs this where there is a GPU.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "kernels/cuda/cuda_backend.h"
#include "runtime/comm/communicator.h"
#include "runtime/comm/nccl_communicator.h"

namespace facet {
namespace {

constexpr int64_t kFloats = 2816;  // a row of 26B-A4B
constexpr int kSums = 60;          // of a step, two a layer
constexpr int kKernels = 8;        // before each

class NcclGpuTest : public testing::Test {
 protected:
  void SetUp() override {
    const auto api = LoadNccl();
    if (!api.ok()) GTEST_SKIP() << api.status();
    auto device = cuda::OpenDevice(0);
    ASSERT_TRUE(device.ok()) << device.status();
    device_ = *std::move(device);
    api_ = *api;
  }

  // Microseconds a step, and how it ran.
  double Measure(bool in_graphs, cuda::LaunchCounts* counts) {
    BackendLimits limits;
    limits.tokens = 8;
    limits.head_dim = 64;
    auto backend = device_->MakeBackend(limits);
    EXPECT_TRUE(backend.ok()) << backend.status();
    auto memory = DeviceMemory::Allocate(device_.get(), kFloats * sizeof(float),
                                         "values");
    EXPECT_TRUE(memory.ok()) << memory.status();
    const absl::Span<float> values(static_cast<float*>(memory->data()),
                                   kFloats);
    const std::unique_ptr<Communicator> host = MakeInProcessCommunicator();
    std::string said;
    NcclOptions options;
    options.api = api_;
    options.host = host.get();
    options.device = device_.get();
    options.backend = backend->get();
    options.most_floats = kFloats;
    options.in_graphs = in_graphs;
    options.log = [&](const std::string& line) { said = line; };
    auto nccl = MakeNcclCommunicator(options);
    EXPECT_TRUE(nccl.ok()) << nccl.status();
    if (!nccl.ok()) return 0;
    EXPECT_EQ((*nccl)->in_graphs(), in_graphs) << said;

    constexpr int kWarm = 5, kSteps = 50;
    std::chrono::steady_clock::time_point begin;
    std::vector<float> found(kFloats);
    for (int step = 0; step < kWarm + kSteps; ++step) {
      if (step == kWarm) begin = std::chrono::steady_clock::now();
      const std::vector<float> start(kFloats, static_cast<float>(step + 1));
      (*backend)->BeginStep();
      EXPECT_TRUE(
          (*backend)
              ->Write(start.data(), kFloats * sizeof(float), values.data())
              .ok());
      for (int sum = 0; sum < kSums; ++sum) {
        for (int i = 0; i < kKernels; ++i) {
          (*backend)->Scale("kernel", values, i % 2 == 0 ? 2.0f : 0.5f);
        }
        EXPECT_TRUE((*nccl)->AllReduceSum(values).ok());
      }
      EXPECT_TRUE(
          (*backend)
              ->Read(values.data(), kFloats * sizeof(float), found.data())
              .ok());
      EXPECT_EQ(found, start);
    }
    const std::chrono::duration<double, std::micro> took =
        std::chrono::steady_clock::now() - begin;
    EXPECT_TRUE((*nccl)->status().ok()) << (*nccl)->status();
    *counts = cuda::CountsOf(**backend);
    return took.count() / kSteps;
  }

  std::unique_ptr<Device> device_;
  const NcclApi* api_ = nullptr;
};

TEST_F(NcclGpuTest, StepsWithTheirMessagesRunAsGraphs) {
  for (const bool in_graphs : {false, true}) {
    cuda::LaunchCounts counts;
    const double us = Measure(in_graphs, &counts);
    std::printf(
        "{\"launch\": \"a step of %d kernels and %d messages, %s\", "
        "\"us\": %.2f, \"calls_changed\": %lld, \"refused\": %lld}\n",
        kSums * kKernels, kSums,
        in_graphs ? "in graphs" : "messages between graphs", us,
        static_cast<long long>(counts.calls_changed),
        static_cast<long long>(counts.refused));
    EXPECT_EQ(counts.refused, 0);
    if (in_graphs) {
      EXPECT_GT(counts.messages, 10 * counts.messages_alone);
    }
  }
}

}  // namespace
}  // namespace facet
