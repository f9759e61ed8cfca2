#include "runtime/comm/shm_ring.h"

#include <algorithm>

namespace facet {

absl::Span<uint8_t> RingWriter::Free(size_t wanted) {
  size_t used = written_ - seen_read_;
  if (capacity_ - used < wanted) {
    const uint64_t read = counters_->read.load(std::memory_order_seq_cst);
    used = written_ - read;
    if (used > capacity_) {
      corrupt_ = true;
      return {};
    }
    seen_read_ = read;
  }
  const size_t at = written_ & (capacity_ - 1);
  return {data_ + at, std::min(capacity_ - used, capacity_ - at)};
}

void RingWriter::Publish(size_t count) {
  written_ += count;
  // Counters and doorbell are sequentially consistent with each other: see
  // doorbell.h. On x86 only the stores cost anything.
  counters_->written.store(written_, std::memory_order_seq_cst);
}

absl::Span<const uint8_t> RingReader::Available() {
  size_t ready = seen_written_ - read_;
  if (ready == 0) {
    const uint64_t written = counters_->written.load(std::memory_order_seq_cst);
    ready = written - read_;
    if (ready > capacity_) {
      corrupt_ = true;
      return {};
    }
    seen_written_ = written;
  }
  const size_t at = read_ & (capacity_ - 1);
  return {data_ + at, std::min(ready, capacity_ - at)};
}

void RingReader::Release(size_t count) {
  read_ += count;
  counters_->read.store(read_, std::memory_order_seq_cst);
}

}  // namespace facet
