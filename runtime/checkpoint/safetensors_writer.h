// Streams named tensors into one .safetensors file: names and shapes first,
// then the bytes, so memory holds no tensor.
#ifndef FACET_RUNTIME_CHECKPOINT_SAFETENSORS_WRITER_H_
#define FACET_RUNTIME_CHECKPOINT_SAFETENSORS_WRITER_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "kernels/base/dtype.h"

namespace facet {

struct TensorSpec {
  std::string name;
  DType dtype = DType::kBF16;
  std::vector<int64_t> shape;
};

// REQUIRES: no negative size.
int64_t NumElements(const TensorSpec& spec);
int64_t NumBytes(const TensorSpec& spec);

// The file gets its name in Finish(); until then it is PATH.partial, which the
// destructor removes.
class SafetensorsWriter {
 public:
  // Tensors are laid out in the given order, the first at a multiple of 8.
  //
  // Errors: INVALID_ARGUMENT for a name twice or a negative size; INTERNAL when
  // the file cannot be written, which holds for the calls below too.
  static absl::StatusOr<std::unique_ptr<SafetensorsWriter>> Create(
      const std::string& path, std::vector<TensorSpec> tensors);
  ~SafetensorsWriter();

  SafetensorsWriter(const SafetensorsWriter&) = delete;
  SafetensorsWriter& operator=(const SafetensorsWriter&) = delete;

  // The next bytes of the data; a call may end anywhere in a tensor or span
  // several. INVALID_ARGUMENT beyond the end of the last tensor.
  absl::Status Append(absl::Span<const uint8_t> bytes);

  // Bytes of tensor `index` from `offset` on, for threads that fill tensors in
  // any order, each byte once. Safe from several threads. INVALID_ARGUMENT
  // outside the tensor.
  absl::Status WriteAt(size_t index, int64_t offset,
                       absl::Span<const uint8_t> bytes);

  // Bytes of all tensors.
  int64_t data_bytes() const { return starts_.back(); }

  // Puts the file in its place. FAILED_PRECONDITION when bytes are missing.
  absl::Status Finish();

 private:
  SafetensorsWriter(std::string path, int fd, int64_t data_begin,
                    std::vector<int64_t> starts);
  absl::Status WriteFully(int64_t at, absl::Span<const uint8_t> bytes);

  const std::string path_;
  int fd_;
  const int64_t data_begin_;
  const std::vector<int64_t> starts_;  // of each tensor's data, and the end
  int64_t appended_ = 0;
  std::atomic<int64_t> written_{0};  // header not counted
};

}  // namespace facet

#endif  // FACET_RUNTIME_CHECKPOINT_SAFETENSORS_WRITER_H_
