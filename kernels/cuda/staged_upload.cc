#include "kernels/cuda/staged_upload.h"

#include <algorithm>
#include <cstring>

#include "kernels/base/status_macros.h"

namespace facet {
namespace FACET_CUDA {
namespace {

// Bytes [begin, begin + count) of the rows put one behind the other.
void Gather(const uint8_t* from, size_t row_bytes, size_t stride, size_t begin,
            size_t count, uint8_t* to) {
  if (stride == row_bytes) {
    std::memcpy(to, from + begin, count);
    return;
  }
  for (size_t done = 0; done < count;) {
    const size_t row = (begin + done) / row_bytes;
    const size_t at = (begin + done) % row_bytes;
    const size_t piece = std::min(count - done, row_bytes - at);
    std::memcpy(to + done, from + row * stride + at, piece);
    done += piece;
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<StagedUpload>> StagedUpload::Create(
    size_t half_bytes) {
  std::unique_ptr<StagedUpload> upload(new StagedUpload(half_bytes));
  FACET_ASSIGN_OR_RETURN(void* halves, AllocatePinned(2 * half_bytes));
  upload->halves_ = static_cast<uint8_t*>(halves);
  for (Stream& stream : upload->streams_) {
    FACET_ASSIGN_OR_RETURN(stream, MakeStream());
  }
  return upload;
}

StagedUpload::~StagedUpload() {
  for (Stream stream : streams_) {
    if (stream != nullptr) DestroyStream(stream);
  }
  if (halves_ != nullptr) FreePinned(halves_);
}

absl::Status StagedUpload::Run(const void* from, int64_t rows, size_t row_bytes,
                               size_t stride, void* to) {
  const size_t total = rows * row_bytes;
  int half = 0;
  for (size_t begin = 0; begin < total; begin += half_bytes_, half = 1 - half) {
    const size_t count = std::min(half_bytes_, total - begin);
    uint8_t* staged = halves_ + half * half_bytes_;
    FACET_RETURN_IF_ERROR(Wait(streams_[half]));
    Gather(static_cast<const uint8_t*>(from), row_bytes, stride, begin, count,
           staged);
    FACET_RETURN_IF_ERROR(CopyToDevice(
        staged, count, static_cast<uint8_t*>(to) + begin, streams_[half]));
  }
  FACET_RETURN_IF_ERROR(Wait(streams_[0]));
  return Wait(streams_[1]);
}

}  // namespace FACET_CUDA
}  // namespace facet
