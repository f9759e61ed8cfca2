// A whole file, mapped read-only.
#ifndef FACET_RUNTIME_CHECKPOINT_MAPPED_FILE_H_
#define FACET_RUNTIME_CHECKPOINT_MAPPED_FILE_H_

#include <cstddef>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace facet {

class MappedFile {
 public:
  // Errors: NOT_FOUND when there is no such file; INVALID_ARGUMENT when it is
  // no regular file; INTERNAL when it cannot be opened or mapped.
  static absl::StatusOr<std::unique_ptr<MappedFile>> Open(
      const std::string& path);
  ~MappedFile();

  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  // Reading past the end of a file that someone shortened since raises SIGBUS.
  absl::string_view bytes() const { return {data_, size_}; }
  const std::string& path() const { return path_; }

 private:
  MappedFile(std::string path, const char* data, size_t size)
      : path_(std::move(path)), data_(data), size_(size) {}

  const std::string path_;
  const char* const data_;
  const size_t size_;
};

}  // namespace facet

#endif  // FACET_RUNTIME_CHECKPOINT_MAPPED_FILE_H_
