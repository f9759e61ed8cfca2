// That the emulation sees what it is for.
#include "kernels/cuda/emulator.h"

#include <cmath>
#include <cstdlib>
#include <functional>

#include "gtest/gtest.h"
#include "kernels/cuda/async_copy.h"
#include "kernels/cuda/race_watch.h"

namespace facet {
namespace emulated {
namespace {

constexpr unsigned kThreads = 64;

void RunBlocks(const std::function<void()>& kernel) {
  RunGrid(dim3(2), dim3(kThreads), 2 * kThreads * 16, kernel);
}

TEST(EmulatorTest, ACopyIsThereOnceItsThreadHasWaitedAndAllHaveMet) {
  float4 from[kThreads], early[kThreads], seen[kThreads];
  for (unsigned i = 0; i < kThreads; ++i) {
    from[i] = {1.0f * i, 2.0f * i, 3.0f * i, 4.0f * i};
  }
  RunBlocks([&] {
    if (blockIdx.x > 0) return;
    float4* shared = SharedMemory<float4>();
    const unsigned i = threadIdx.x;
    CopyAsync(&shared[i], &from[i]);
    CommitCopies();
    CommitCopies();
    WaitForCopies<2>();
    early[i] = shared[i];
    WaitForCopies<1>();
    __syncthreads();
    seen[i] = shared[kThreads - 1 - i];
  });
  for (unsigned i = 0; i < kThreads; ++i) {
    EXPECT_TRUE(std::isnan(early[i].x)) << i;
    EXPECT_EQ(seen[i].w, from[kThreads - 1 - i].w) << i;
  }
}

TEST(EmulatorTest, WhatIsNotCopiedIsZeros) {
  float4 from = {1, 2, 3, 4}, seen[2];
  RunBlocks([&] {
    if (blockIdx.x > 0 || threadIdx.x > 0) return;
    float4* shared = SharedMemory<float4>();
    CopyAsyncOrZero(&shared[0], &from, true);
    CopyAsyncOrZero(&shared[1], &from, false);
    CommitCopies();
    WaitForCopies<0>();
    seen[0] = shared[0];
    seen[1] = shared[1];
  });
  EXPECT_EQ(seen[0].y, 2);
  EXPECT_EQ(seen[1].y, 0);
}

// Rows of a warp, passed on by `order`.
void PassOn(float* shared, const std::function<void()>& order) {
  const unsigned warp = threadIdx.x / 32 * 32, lane = threadIdx.x % 32;
  shared[warp + lane] = static_cast<float>(lane);
  order();
  shared[kThreads + threadIdx.x] = shared[warp + (lane + 7) % 32];
}

TEST(EmulatorTest, BarriersOrderThreads) {
  RunBlocks([] {
    float* shared = SharedMemory<float>();
    PassOn(shared, [] { __syncwarp(); });
    __syncthreads();
    PassOn(shared, [] { __syncthreads(); });
  });
}

// Found by ThreadSanitizer alone; without it, there is nobody to look.
class RaceTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!RacesAreWatched()) GTEST_SKIP() << "needs --config=tsan";
    testing::FLAGS_gtest_death_test_style = "threadsafe";
  }
  static void ExpectRace(const std::function<void()>& kernel) {
    EXPECT_EXIT(
        {
          RunBlocks(kernel);
          std::exit(0);
        },
        testing::ExitedWithCode(66), "data race");
  }
};

TEST_F(RaceTest, ThreadsThatNothingOrdersRace) {
  ExpectRace([] { PassOn(SharedMemory<float>(), [] {}); });
}

TEST_F(RaceTest, AShuffleOrdersNoMemory) {
  ExpectRace([] {
    PassOn(SharedMemory<float>(), [] { __shfl_xor_sync(~0u, 1, 1); });
  });
}

TEST_F(RaceTest, ABarrierBeforeTheWaitIsTooEarly) {
  static float4 from[kThreads];
  ExpectRace([] {
    float4* shared = SharedMemory<float4>();
    CopyAsync(&shared[threadIdx.x], &from[threadIdx.x]);
    CommitCopies();
    __syncthreads();
    WaitForCopies<0>();
    shared[kThreads + threadIdx.x].x = shared[(threadIdx.x + 1) % kThreads].x;
  });
}

TEST_F(RaceTest, BlocksRace) {
  static float sum;
  ExpectRace([] {
    if (threadIdx.x == blockIdx.x) sum += 1;
  });
}

}  // namespace
}  // namespace emulated
}  // namespace facet
