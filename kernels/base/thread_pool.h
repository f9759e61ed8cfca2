// A fixed set of threads that run one parallel region at a time.
#ifndef FACET_KERNELS_BASE_THREAD_POOL_H_
#define FACET_KERNELS_BASE_THREAD_POOL_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

#include "absl/functional/function_ref.h"
#include "kernels/base/signal.h"
#include "kernels/base/spinner.h"

namespace facet {

// Threads look again for a bounded time between regions and then sleep, so a
// pool that has nothing to do, or that shares its cores, costs nothing. While
// regions follow each other closely no system call is made.
//
// One thread at a time may call Run(); it takes part as thread 0.
class ThreadPool {
 public:
  // `num_threads` counts the caller. `cpus`, when not empty, names one CPU for
  // each of the threads 1 … num_threads - 1 at index i (entry 0 is the caller's
  // and is left to the caller). REQUIRES: num_threads >= 1.
  explicit ThreadPool(int num_threads, std::vector<int> cpus = {});
  ~ThreadPool();

  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int num_threads() const { return num_threads_; }

  // Calls body(thread) once for every thread in [0, num_threads) and returns
  // when all are done.
  void Run(absl::FunctionRef<void(int thread)> body);

  // Splits [0, count) into num_threads runs whose borders are multiples of
  // `grain` and calls body(begin, end) for the ones that are not empty.
  void ParallelFor(int64_t count, int64_t grain,
                   absl::FunctionRef<void(int64_t begin, int64_t end)> body);

  // Hands out [0, count) one index at a time, for work of uneven size. Each
  // thread goes through a run of its own, in order, so that what lies behind
  // one index is likely its next; one that is through takes from the ends of
  // others. REQUIRES: count < 2^32.
  void ParallelDynamic(int64_t count,
                       absl::FunctionRef<void(int thread, int64_t index)> body);

  // Where the run of `thread`, in [0, num_threads], of `count` begins.
  int64_t RunBegin(int64_t count, int thread) const {
    return count * thread / num_threads_;
  }

  // Bytes for a thread to fetch to its cache. They are not read: nothing
  // depends on what they hold, but they stay mapped.
  struct Ahead {
    const void* data = nullptr;
    int64_t bytes = 0;
  };
  static constexpr int kMostAhead = 4;  // for each thread; others are dropped

  // Adds to what `thread` fetches once it is through with its part of the next
  // region: while it waits for the others and for the region after that. By the
  // thread that calls Run().
  void FetchAhead(int thread, Ahead ahead);

 private:
  // What is left of one thread's run: begin in the lower half, end in the
  // upper.
  struct alignas(64) Left {
    std::atomic<uint64_t> bounds{0};
  };

  // What one thread alone writes.
  struct alignas(64) Own {
    Signal done;  // the region it has been through
    Spinner spinner;
  };

  // What one thread fetches after a region; written between regions only.
  struct AheadList {
    int count = 0;
    Ahead entries[kMostAhead];
  };

  void WorkerLoop(int thread);
  // Fetches what is listed for `thread` behind `region`, until `go_on` is
  // false.
  template <typename GoOn>
  void Fetch(int thread, uint32_t region, GoOn go_on);
  AheadList& ListOf(int thread, uint32_t region) {
    return ahead_[2 * thread + region % 2];
  }

  const int num_threads_;
  // Null: the threads end. Written before, and seen with, region_.
  const absl::FunctionRef<void(int)>* body_ = nullptr;
  Signal region_;  // rises by one for each
  const std::unique_ptr<Own[]> own_;
  // Two for each thread: while it fetches what one says, the other is written.
  const std::unique_ptr<AheadList[]> ahead_;
  const std::unique_ptr<Left[]> left_;
  std::vector<std::thread> threads_;
};

// CPUs this process may run on, lowest first.
std::vector<int> AvailableCpus();

// Binds the calling thread to `cpu`; without effect where that is not allowed.
void PinThisThread(int cpu);

// Asks the scheduler for short time slices for the calling thread, where it
// knows such (Linux 6.12). Its share of a busy CPU stays the same. But who
// sleeps at a barrier and is woken runs soon, instead of waiting for the end of
// somebody else's slice while all others of its pool wait for it.
void PreferShortSlices();

}  // namespace facet

#endif  // FACET_KERNELS_BASE_THREAD_POOL_H_
