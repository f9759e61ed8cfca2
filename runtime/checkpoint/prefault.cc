// Prefault(): pages of the checkpoint into this process.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "runtime/checkpoint/checkpoint.h"
#include "runtime/checkpoint/touch_pages.h"

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22  // Linux 5.14
#endif

namespace facet {
namespace {

// Large enough that the disk streams, small enough that threads share the work
// and progress moves.
constexpr size_t kChunkBytes = size_t{32} << 20;
constexpr std::chrono::milliseconds kProgressInterval(50);

// Whole pages, at most kChunkBytes of them.
struct Chunk {
  uintptr_t begin = 0;
  uintptr_t end = 0;
};

std::vector<Chunk> CutIntoChunks(absl::Span<const ByteRange> ranges,
                                 uintptr_t page) {
  std::vector<Chunk> chunks;
  for (const ByteRange& range : ranges) {
    if (range.bytes == 0) continue;
    const auto data = reinterpret_cast<uintptr_t>(range.data);
    const uintptr_t end = (data + range.bytes + page - 1) / page * page;
    for (uintptr_t at = data / page * page; at < end; at += kChunkBytes) {
      chunks.push_back({at, std::min(end, at + kChunkBytes)});
    }
  }
  return chunks;
}

// Returns 0 or an errno.
int Populate(const Chunk& chunk) {
  int result;
  do {
    result = madvise(reinterpret_cast<void*>(chunk.begin),
                     chunk.end - chunk.begin, MADV_POPULATE_READ);
  } while (result != 0 && (errno == EINTR || errno == EAGAIN));
  if (result == 0) return 0;
  if (errno != EINVAL && errno != ENOSYS) return errno;
  return TouchPages(chunk.begin, chunk.end);
}

// Work shared by the threads of one Prefault().
struct Shared {
  std::atomic<size_t> next{0};
  std::atomic<int64_t> done{0};
  std::atomic<int> error{0};
  std::mutex mutex;
  std::condition_variable finished;
  int running = 0;  // guarded by mutex
};

}  // namespace

absl::Status Prefault(absl::Span<const ByteRange> ranges, int num_threads,
                      const LoadProgress& progress) {
  const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  const std::vector<Chunk> chunks = CutIntoChunks(ranges, page);
  int64_t total = 0;
  for (const Chunk& chunk : chunks) total += chunk.end - chunk.begin;

  Shared shared;
  const int count = std::clamp<int>(num_threads, 1, 64);
  shared.running = count;
  std::vector<std::thread> threads;
  for (int i = 0; i < count; ++i) {
    threads.emplace_back([&] {
      for (size_t at = shared.next++; at < chunks.size() && shared.error == 0;
           at = shared.next++) {
        const int error = Populate(chunks[at]);
        if (error != 0) shared.error = error;
        shared.done += chunks[at].end - chunks[at].begin;
      }
      const std::lock_guard<std::mutex> lock(shared.mutex);
      if (--shared.running == 0) shared.finished.notify_one();
    });
  }
  {
    std::unique_lock<std::mutex> lock(shared.mutex);
    while (!shared.finished.wait_for(lock, kProgressInterval,
                                     [&] { return shared.running == 0; })) {
      lock.unlock();
      if (progress) progress(shared.done, total);
      lock.lock();
    }
  }
  for (std::thread& thread : threads) thread.join();

  const int error = shared.error;
  if (error == EFAULT) {
    return absl::DataLossError(
        "a checkpoint file became shorter while it was read; was it replaced "
        "under a running process?");
  }
  if (error != 0) {
    return absl::DataLossError(absl::StrCat(
        "cannot read the checkpoint into memory: ", std::strerror(error)));
  }
  if (progress) progress(total, total);
  return absl::OkStatus();
}

}  // namespace facet
