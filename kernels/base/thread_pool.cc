#include "kernels/base/thread_pool.h"

#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <utility>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace facet {
namespace {

// About 50 us on current machines: longer than the gap between two kernels of a
// step, shorter than a scheduler's time slice.
constexpr int kSpins = 2000;

void Pause() {
#if defined(__x86_64__)
  _mm_pause();
#endif
}

// Returns once `value` differs from `old`.
template <typename T>
void WaitWhileEqual(std::atomic<T>& value, T old) {
  for (int i = 0; i < kSpins; ++i) {
    if (value.load(std::memory_order_acquire) != old) return;
    Pause();
  }
  value.wait(old, std::memory_order_acquire);
}

uint64_t Bounds(uint64_t begin, uint64_t end) { return end << 32 | begin; }

// The first or the last index of what is left, which is then gone; -1: none.
int64_t TakeFirst(std::atomic<uint64_t>& bounds) {
  uint64_t left = bounds.load(std::memory_order_relaxed);
  while (true) {
    const uint64_t begin = left & 0xffffffff, end = left >> 32;
    if (begin >= end) return -1;
    if (bounds.compare_exchange_weak(left, Bounds(begin + 1, end),
                                     std::memory_order_relaxed)) {
      return static_cast<int64_t>(begin);
    }
  }
}
int64_t TakeLast(std::atomic<uint64_t>& bounds) {
  uint64_t left = bounds.load(std::memory_order_relaxed);
  while (true) {
    const uint64_t begin = left & 0xffffffff, end = left >> 32;
    if (begin >= end) return -1;
    if (bounds.compare_exchange_weak(left, Bounds(begin, end - 1),
                                     std::memory_order_relaxed)) {
      return static_cast<int64_t>(end - 1);
    }
  }
}

}  // namespace

ThreadPool::ThreadPool(int num_threads, std::vector<int> cpus)
    : num_threads_(num_threads), left_(new Left[num_threads]) {
  for (int i = 1; i < num_threads; ++i) {
    const int cpu = i < static_cast<int>(cpus.size()) ? cpus[i] : -1;
    threads_.emplace_back([this, i, cpu] {
      if (cpu >= 0) PinThisThread(cpu);
      WorkerLoop(i);
    });
  }
}

ThreadPool::~ThreadPool() {
  stop_ = true;
  epoch_.fetch_add(1, std::memory_order_release);
  epoch_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void ThreadPool::WorkerLoop(int thread) {
  uint32_t seen = 0;
  while (true) {
    WaitWhileEqual(epoch_, seen);
    seen = epoch_.load(std::memory_order_acquire);
    if (stop_) return;
    (*body_)(thread);
    if (pending_.fetch_sub(1, std::memory_order_acq_rel) == 1) {
      pending_.notify_one();
    }
  }
}

void ThreadPool::Run(absl::FunctionRef<void(int)> body) {
  if (num_threads_ == 1) {
    body(0);
    return;
  }
  body_ = &body;
  pending_.store(num_threads_ - 1, std::memory_order_relaxed);
  epoch_.fetch_add(1, std::memory_order_release);
  epoch_.notify_all();
  body(0);
  int left = pending_.load(std::memory_order_acquire);
  while (left != 0) {
    WaitWhileEqual(pending_, left);
    left = pending_.load(std::memory_order_acquire);
  }
}

void ThreadPool::ParallelFor(int64_t count, int64_t grain,
                             absl::FunctionRef<void(int64_t, int64_t)> body) {
  if (count <= 0) return;
  const int64_t blocks = (count + grain - 1) / grain;
  if (num_threads_ == 1 || blocks == 1) {
    body(0, count);
    return;
  }
  Run([&](int thread) {
    const int64_t begin = blocks * thread / num_threads_ * grain;
    const int64_t end =
        std::min(count, blocks * (thread + 1) / num_threads_ * grain);
    if (begin < end) body(begin, end);
  });
}

void ThreadPool::ParallelDynamic(int64_t count,
                                 absl::FunctionRef<void(int, int64_t)> body) {
  if (num_threads_ == 1 || count <= 1) {
    for (int64_t i = 0; i < count; ++i) body(0, i);
    return;
  }
  for (int t = 0; t < num_threads_; ++t) {
    left_[t].bounds.store(
        Bounds(count * t / num_threads_, count * (t + 1) / num_threads_),
        std::memory_order_relaxed);
  }
  Run([&](int thread) {
    for (int64_t i = TakeFirst(left_[thread].bounds); i >= 0;
         i = TakeFirst(left_[thread].bounds)) {
      body(thread, i);
    }
    for (int other = 1; other < num_threads_; ++other) {
      std::atomic<uint64_t>& bounds =
          left_[(thread + other) % num_threads_].bounds;
      for (int64_t i = TakeLast(bounds); i >= 0; i = TakeLast(bounds)) {
        body(thread, i);
      }
    }
  });
}

std::vector<int> AvailableCpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  std::vector<int> cpus;
  if (sched_getaffinity(0, sizeof(set), &set) != 0) return {0};
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &set)) cpus.push_back(cpu);
  }
  return cpus;
}

void PinThisThread(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
}

}  // namespace facet
