#include "kernels/base/thread_pool.h"

#include <atomic>
#include <thread>
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
  for (int threads : {1, 2, 3, 7}) {
    ThreadPool pool(threads);
    for (int64_t size : {0, 1, 2, 6, 7, 500}) {
      std::vector<std::atomic<int>> seen(size);
      pool.ParallelDynamic(size, [&](int, int64_t i) { ++seen[i]; });
      for (auto& count : seen) EXPECT_EQ(count, 1);
    }
  }
}

TEST(ThreadPoolTest, OthersTakeWhatASlowThreadHasLeft) {
  ThreadPool pool(2);
  constexpr int64_t kCount = 100;
  std::atomic<int64_t> done{0};
  pool.ParallelDynamic(kCount, [&](int, int64_t i) {
    // Ends only if all others are done meanwhile, those behind this one too.
    while (i == 0 && done < kCount - 1) std::this_thread::yield();
    ++done;
  });
  EXPECT_EQ(done, kCount);
}

// Lists are written by one thread while others go through those before.
TEST(ThreadPoolTest, FetchingAheadChangesNoResult) {
  ThreadPool pool(4);
  const std::vector<char> bytes(1 << 20);
  std::vector<int64_t> sums(4);
  for (int region = 0; region < 2000; ++region) {
    for (int thread = 0; region % 3 != 0 && thread < 4; ++thread) {
      for (int i = 0; i < region % 7; ++i) {
        pool.FetchAhead(thread, {bytes.data() + 4096 * thread, 1000});
      }
    }
    pool.Run([&](int thread) { sums[thread] += region; });
  }
  for (int64_t sum : sums) EXPECT_EQ(sum, 1999 * 2000 / 2);
}

}  // namespace
}  // namespace facet
