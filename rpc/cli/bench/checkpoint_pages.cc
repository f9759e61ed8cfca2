#include "rpc/cli/bench/checkpoint_pages.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <memory>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "kernels/base/topology.h"

namespace facet {
namespace {

constexpr int64_t kMostLimitBytes = int64_t{4} << 30;

// Bytes of `tensor`'s pages that are in the page cache, its own bytes at most.
int64_t CachedBytes(const TensorView& tensor) {
  const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  const auto data = reinterpret_cast<uintptr_t>(tensor.data);
  const uintptr_t begin = data / page * page;
  const uintptr_t end = data + tensor.bytes;
  std::vector<unsigned char> resident((end - begin + page - 1) / page);
  if (resident.empty() || mincore(reinterpret_cast<void*>(begin), end - begin,
                                  resident.data()) != 0) {
    return 0;
  }
  int64_t pages = 0;
  for (unsigned char flags : resident) pages += flags & 1;
  return std::min<int64_t>(pages * page, tensor.bytes);
}

// Matrices that every step reads.
std::vector<absl::Span<const BF16>> LargeMatrices(
    const Checkpoint& checkpoint) {
  std::vector<absl::Span<const BF16>> matrices;
  int64_t bytes = 0;
  for (const std::string& name : checkpoint.names()) {
    const TensorView& tensor = *checkpoint.Find(name);
    const size_t count = tensor.bytes / sizeof(BF16);
    if (tensor.dtype != DType::kBF16 || count < kLimitRowWeights ||
        tensor.shape.size() < 2 ||
        reinterpret_cast<uintptr_t>(tensor.data) % alignof(BF16) != 0 ||
        absl::StrContains(name, "embed_tokens_per_layer")) {
      continue;
    }
    if (bytes >= kMostLimitBytes) break;
    bytes += static_cast<int64_t>(tensor.bytes);
    matrices.push_back(
        absl::MakeConstSpan(reinterpret_cast<const BF16*>(tensor.data), count));
  }
  return matrices;
}

std::vector<std::string> WeightFiles(const std::string& model_directory) {
  std::vector<std::string> paths;
  std::error_code error;
  for (const auto& entry :
       std::filesystem::directory_iterator(model_directory, error)) {
    if (entry.path().extension() == ".safetensors") {
      paths.push_back(entry.path().string());
    }
  }
  return paths;
}

}  // namespace

absl::StatusOr<PageCacheState> ReadPageCacheState(
    const std::string& model_directory) {
  FACET_ASSIGN_OR_RETURN(const std::unique_ptr<Checkpoint> checkpoint,
                         Checkpoint::Open(model_directory));
  PageCacheState state;
  int64_t cached = 0;
  for (const std::string& name : checkpoint->names()) {
    const TensorView& tensor = *checkpoint->Find(name);
    state.bytes += static_cast<int64_t>(tensor.bytes);
    cached += CachedBytes(tensor);
  }
  if (state.bytes > 0) {
    state.cached = static_cast<double>(cached) / state.bytes;
  }
  return state;
}

void DropFromPageCache(const std::string& model_directory) {
  for (const std::string& path : WeightFiles(model_directory)) {
    const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) continue;
    fsync(fd);  // pages not yet written cannot be dropped
    posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    close(fd);
  }
}

absl::StatusOr<double> TimeReadingFiles(const std::string& model_directory) {
  constexpr size_t kBlock = size_t{8} << 20;
  std::vector<char> block(kBlock);
  const auto start = std::chrono::steady_clock::now();
  for (const std::string& path : WeightFiles(model_directory)) {
    const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? -1 : 1;
    while (got > 0) got = read(fd, block.data(), block.size());
    if (fd >= 0) close(fd);
    if (got < 0) return absl::NotFoundError(absl::StrCat("cannot read ", path));
  }
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start)
      .count();
}

LimitMeter::LimitMeter(std::unique_ptr<Checkpoint> checkpoint, int threads)
    : checkpoint_(std::move(checkpoint)),
      matrices_(LargeMatrices(*checkpoint_)),
      pool_(threads, CoreCpus()) {}

absl::StatusOr<std::unique_ptr<LimitMeter>> LimitMeter::Open(
    const std::string& model_directory, int threads) {
  FACET_ASSIGN_OR_RETURN(std::unique_ptr<Checkpoint> checkpoint,
                         Checkpoint::Open(model_directory));
  std::unique_ptr<LimitMeter> meter(
      new LimitMeter(std::move(checkpoint), threads));
  if (meter->matrices_.empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat(model_directory, ": no bf16 matrix of at least ",
                     kLimitRowWeights, " weights to measure limits over"));
  }
  std::vector<ByteRange> ranges;
  for (const absl::Span<const BF16> matrix : meter->matrices_) {
    ranges.push_back({reinterpret_cast<const uint8_t*>(matrix.data()),
                      matrix.size() * sizeof(BF16)});
  }
  FACET_RETURN_IF_ERROR(meter->checkpoint_->Draw(ranges, threads, nullptr));
  FACET_RETURN_IF_ERROR(Prefault(ranges, threads, nullptr));
  return meter;
}

MachineLimits LimitMeter::Measure(int repeats) {
  return MeasureMachineLimits(matrices_, repeats, pool_);
}

LimitSample LimitMeter::Sample(int matvec_rows) {
  return SampleMachineLimits(matrices_, matvec_rows, pool_);
}

}  // namespace facet
