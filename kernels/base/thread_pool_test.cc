#include "kernels/base/thread_pool.h"

#include <atomic>
#include <vector>

#include "gtest/gtest.h"

namespace facet {
namespace {

TEST(ThreadPoolTest, EveryThreadRunsTheBodyOncePerRegion) {
  for (int threads : {1, 2, 3, 7}) {
    ThreadPool pool(threads);
    std::vector<int> calls(threads, 0);
    for (int region = 0; region < 1000; ++region) {
      pool.Run([&](int thread) { ++calls[thread]; });
    }
    EXPECT_EQ(calls, std::vector<int>(threads, 1000));
  }
}

TEST(ThreadPoolTest, ParallelForCoversEachIndexOnceAtGrainBorders) {
  ThreadPool pool(3);
  for (int64_t count : {0, 1, 5, 16, 17, 1000}) {
    std::vector<std::atomic<int>> seen(count);
    pool.ParallelFor(count, 16, [&](int64_t begin, int64_t end) {
      EXPECT_EQ(begin % 16, 0);
      for (int64_t i = begin; i < end; ++i) ++seen[i];
    });
    for (int64_t i = 0; i < count; ++i) EXPECT_EQ(seen[i], 1) << i;
  }
}

TEST(ThreadPoolTest, ParallelDynamicCoversEachIndexOnce) {
  ThreadPool pool(2);
  std::vector<std::atomic<int>> seen(500);
  pool.ParallelDynamic(500, [&](int, int64_t i) { ++seen[i]; });
  for (auto& count : seen) EXPECT_EQ(count, 1);
}

}  // namespace
}  // namespace facet
