#include "runtime/checkpoint/safetensors_writer.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "kernels/base/status_macros.h"
#include "nlohmann/json.hpp"

namespace facet {
namespace {

constexpr size_t kLengthBytes = 8;
constexpr size_t kAlignment = 8;

std::string PartialName(const std::string& path) { return path + ".partial"; }

std::string Quoted(const std::string& text) {
  return nlohmann::json(text).dump(-1, ' ', /*ensure_ascii=*/false,
                                   nlohmann::json::error_handler_t::replace);
}

// Length and JSON, padded with spaces so that data starts aligned.
std::string Header(const std::vector<TensorSpec>& tensors,
                   const std::vector<int64_t>& starts) {
  std::string json = "{\"__metadata__\":{\"format\":\"pt\"}";
  for (size_t i = 0; i < tensors.size(); ++i) {
    absl::StrAppend(&json, ",", Quoted(tensors[i].name), ":{\"dtype\":\"",
                    Name(tensors[i].dtype), "\",\"shape\":[",
                    absl::StrJoin(tensors[i].shape, ","),
                    "],\"data_offsets\":[", starts[i], ",", starts[i + 1],
                    "]}");
  }
  json += "}";
  json.resize((json.size() + kAlignment - 1) / kAlignment * kAlignment, ' ');
  std::string length(kLengthBytes, '\0');
  for (size_t i = 0; i < kLengthBytes; ++i) {
    length[i] = static_cast<char>(json.size() >> (8 * i) & 0xff);
  }
  return length + json;
}

}  // namespace

int64_t NumElements(const TensorSpec& spec) {
  int64_t count = 1;
  for (const int64_t size : spec.shape) count *= size;
  return count;
}

int64_t NumBytes(const TensorSpec& spec) {
  return NumElements(spec) * static_cast<int64_t>(SizeOf(spec.dtype));
}

SafetensorsWriter::SafetensorsWriter(std::string path, int fd,
                                     int64_t data_begin,
                                     std::vector<int64_t> starts)
    : path_(std::move(path)),
      fd_(fd),
      data_begin_(data_begin),
      starts_(std::move(starts)) {}

absl::StatusOr<std::unique_ptr<SafetensorsWriter>> SafetensorsWriter::Create(
    const std::string& path, std::vector<TensorSpec> tensors) {
  std::vector<int64_t> starts = {0};
  absl::flat_hash_set<std::string> names;
  for (const TensorSpec& tensor : tensors) {
    for (const int64_t size : tensor.shape) {
      if (size >= 0) continue;
      return absl::InvalidArgumentError(absl::StrCat(
          "tensor \"", tensor.name, "\": shape: expected sizes of 0 or more, ",
          "found ", size));
    }
    if (!names.insert(tensor.name).second) {
      return absl::InvalidArgumentError(
          absl::StrCat("tensor \"", tensor.name, "\" is declared twice"));
    }
    starts.push_back(starts.back() + NumBytes(tensor));
  }
  const std::string partial = PartialName(path);
  const int fd =
      open(partial.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd < 0) {
    return absl::InternalError(
        absl::StrCat(partial, ": cannot create: ", std::strerror(errno)));
  }
  const std::string header = Header(tensors, starts);
  std::unique_ptr<SafetensorsWriter> writer(new SafetensorsWriter(
      path, fd, static_cast<int64_t>(header.size()), std::move(starts)));
  FACET_RETURN_IF_ERROR(writer->WriteFully(
      0, absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(header.data()),
                             header.size())));
  return writer;
}

SafetensorsWriter::~SafetensorsWriter() {
  if (fd_ < 0) return;
  close(fd_);
  unlink(PartialName(path_).c_str());
}

absl::Status SafetensorsWriter::Append(absl::Span<const uint8_t> bytes) {
  if (static_cast<int64_t>(bytes.size()) > data_bytes() - appended_) {
    return absl::InvalidArgumentError(absl::StrCat(
        path_, ": ", bytes.size(), " bytes more, expected at most ",
        data_bytes() - appended_, " for the tensors declared"));
  }
  FACET_RETURN_IF_ERROR(WriteFully(data_begin_ + appended_, bytes));
  appended_ += static_cast<int64_t>(bytes.size());
  written_ += static_cast<int64_t>(bytes.size());
  return absl::OkStatus();
}

absl::Status SafetensorsWriter::WriteAt(size_t index, int64_t offset,
                                        absl::Span<const uint8_t> bytes) {
  if (index + 1 >= starts_.size() || offset < 0 ||
      offset > starts_[index + 1] - starts_[index] ||
      static_cast<int64_t>(bytes.size()) >
          starts_[index + 1] - starts_[index] - offset) {
    return absl::InvalidArgumentError(
        absl::StrCat(path_, ": ", bytes.size(), " bytes at ", offset,
                     " do not lie in tensor ", index));
  }
  FACET_RETURN_IF_ERROR(
      WriteFully(data_begin_ + starts_[index] + offset, bytes));
  written_ += static_cast<int64_t>(bytes.size());
  return absl::OkStatus();
}

absl::Status SafetensorsWriter::WriteFully(int64_t at,
                                           absl::Span<const uint8_t> bytes) {
  while (!bytes.empty()) {
    const ssize_t count = pwrite(fd_, bytes.data(), bytes.size(), at);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) {
      return absl::InternalError(
          absl::StrCat(PartialName(path_), ": cannot write ", bytes.size(),
                       " bytes: ", std::strerror(errno)));
    }
    bytes.remove_prefix(static_cast<size_t>(count));
    at += count;
  }
  return absl::OkStatus();
}

absl::Status SafetensorsWriter::Finish() {
  if (written_ != data_bytes()) {
    return absl::FailedPreconditionError(
        absl::StrCat(path_, ": ", written_.load(),
                     " bytes of tensors written, expected ", data_bytes()));
  }
  const int fd = std::exchange(fd_, -1);
  const std::string partial = PartialName(path_);
  // A disk may report that it is full as late as here.
  if (close(fd) != 0 || std::rename(partial.c_str(), path_.c_str()) != 0) {
    const std::string why = std::strerror(errno);
    unlink(partial.c_str());
    return absl::InternalError(
        absl::StrCat(path_, ": cannot finish writing: ", why));
  }
  return absl::OkStatus();
}

}  // namespace facet
