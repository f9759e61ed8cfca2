#include "kernels/base/thread_pool.h"

#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

namespace facet {
namespace {

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
    : num_threads_(num_threads),
      own_(new Own[num_threads]),
      ahead_(new AheadList[2 * num_threads]),
      left_(new Left[num_threads]) {
  for (int i = 1; i < num_threads; ++i) {
    const int cpu = i < static_cast<int>(cpus.size()) ? cpus[i] : -1;
    threads_.emplace_back([this, i, cpu] {
      if (cpu >= 0) PinThisThread(cpu);
      PreferShortSlices();
      WorkerLoop(i);
    });
  }
}

ThreadPool::~ThreadPool() {
  body_ = nullptr;
  region_.Set(region_.value() + 1);
  for (std::thread& thread : threads_) thread.join();
}

void ThreadPool::WorkerLoop(int thread) {
  Own& own = own_[thread];
  uint32_t region = 0;
  while (true) {
    region = region_.WaitWhile(region, own.spinner);
    if (body_ == nullptr) return;
    (*body_)(thread);
    own.done.Set(region);
    Fetch(thread, region, [&] { return region_.value() == region; });
  }
}

void ThreadPool::Run(absl::FunctionRef<void(int)> body) {
  if (num_threads_ == 1) {
    body(0);
    return;
  }
  body_ = &body;
  const uint32_t before = region_.value();
  region_.Set(before + 1);
  body(0);
  Fetch(0, before + 1, [&] {
    for (int thread = 1; thread < num_threads_; ++thread) {
      if (own_[thread].done.value() == before) return true;
    }
    return false;
  });
  for (int thread = 1; thread < num_threads_; ++thread) {
    own_[thread].done.WaitWhile(before, own_[0].spinner);
  }
  // All have left the lists of the region before: they are the next one's now.
  for (int thread = 0; thread < num_threads_; ++thread) {
    ListOf(thread, before + 2).count = 0;
  }
}

void ThreadPool::FetchAhead(int thread, Ahead ahead) {
  if (num_threads_ == 1) return;  // never waits
  AheadList& list = ListOf(thread, region_.value() + 1);
  if (list.count < kMostAhead) list.entries[list.count++] = ahead;
}

template <typename GoOn>
void ThreadPool::Fetch(int thread, uint32_t region, GoOn go_on) {
  constexpr int64_t kLine = 64, kLinesPerLook = 8;
  const AheadList& list = ListOf(thread, region);
  for (int i = 0; i < list.count; ++i) {
    const char* at = static_cast<const char*>(list.entries[i].data);
    const char* const end = at + list.entries[i].bytes;
    while (at < end) {
      if (!go_on()) return;
      for (int line = 0; line < kLinesPerLook && at < end;
           ++line, at += kLine) {
        __builtin_prefetch(at, /*rw=*/0, /*locality=*/2);
      }
    }
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
    left_[t].bounds.store(Bounds(RunBegin(count, t), RunBegin(count, t + 1)),
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

void PreferShortSlices() {
  // As in linux/sched/types.h, which C++ code cannot include beside sched.h.
  struct {
    uint32_t size;
    uint32_t policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime;  // ns; the slice of an ordinary thread
    uint64_t deadline;
    uint64_t period;
  } attributes = {};
  constexpr uint64_t kSliceNs = 100'000;  // the shortest there is
  if (syscall(SYS_sched_getattr, 0, &attributes, sizeof(attributes), 0) != 0 ||
      attributes.policy != SCHED_OTHER) {
    return;
  }
  attributes.size = sizeof(attributes);
  attributes.runtime = kSliceNs;
  syscall(SYS_sched_setattr, 0, &attributes, 0);
}

}  // namespace facet
