// A ring of bytes in shared memory from one rank to one other: two counters
// that only grow, each written by one side, and the bytes between them.
//
//   read                      written
//    |<---- to be read ------->|<---- free ---->| read + capacity
//
// The counters come from another process, so each side checks that they make
// sense before it touches memory.
#ifndef FACET_RUNTIME_COMM_SHM_RING_H_
#define FACET_RUNTIME_COMM_SHM_RING_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "absl/types/span.h"

namespace facet {

// All zero is the empty ring.
struct RingCounters {
  alignas(128) std::atomic<uint64_t> written;
  alignas(128) std::atomic<uint64_t> read;
};
static_assert(std::atomic<uint64_t>::is_always_lock_free);

// `capacity` is a power of two. Each side keeps its own counter and the last
// seen one of the other side, which it refreshes only when it must: reading a
// line that the peer writes is the dear part.
class RingWriter {
 public:
  RingWriter(RingCounters* counters, uint8_t* data, size_t capacity)
      : counters_(counters), data_(data), capacity_(capacity) {}

  // Contiguous free bytes; looks at the reader again only when fewer than
  // `wanted` are known to be free.
  absl::Span<uint8_t> Free(size_t wanted);
  // Hands the first `count` bytes of Free() to the reader.
  void Publish(size_t count);
  // The reader's counter is impossible.
  bool corrupt() const { return corrupt_; }

 private:
  RingCounters* counters_;
  uint8_t* data_;
  size_t capacity_;
  uint64_t written_ = 0;
  uint64_t seen_read_ = 0;
  bool corrupt_ = false;
};

class RingReader {
 public:
  RingReader(RingCounters* counters, const uint8_t* data, size_t capacity)
      : counters_(counters), data_(data), capacity_(capacity) {}

  // Contiguous bytes to be read; looks at the writer again only when none are
  // known.
  absl::Span<const uint8_t> Available();
  // Gives the first `count` bytes of Available() back to the writer.
  void Release(size_t count);
  bool corrupt() const { return corrupt_; }

 private:
  RingCounters* counters_;
  const uint8_t* data_;
  size_t capacity_;
  uint64_t read_ = 0;
  uint64_t seen_written_ = 0;
  bool corrupt_ = false;
};

}  // namespace facet

#endif  // FACET_RUNTIME_COMM_SHM_RING_H_
