#include "runtime/checkpoint/random_checkpoint.h"

#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <thread>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "nlohmann/json.hpp"
#include "runtime/config/json_fields.h"

namespace facet {
namespace {

using nlohmann::json;

constexpr char kGenerator[] = "philox4x32-10";
constexpr int64_t kMostFileBytes = 100'000'000;
constexpr int64_t kMostElements = int64_t{1} << 40;  // of all tensors
constexpr size_t kMostTensors = 1'000'000;
constexpr int64_t kAlignment = 256;
// Elements that a thread draws before it takes more.
constexpr int64_t kChunk = 1 << 20;

class RandomCheckpoint : public Checkpoint {
 public:
  ~RandomCheckpoint() override {
    if (memory_ != nullptr) munmap(memory_, size_);
  }

  absl::Status Open(const std::string& path) {
    FACET_ASSIGN_OR_RETURN(const std::string text,
                           ReadTextFile(path, kMostFileBytes));
    const absl::StatusOr<json> document = ParseJsonObject(text);
    if (!document.ok()) return Annotate(document.status(), path);
    FACET_RETURN_IF_ERROR(Annotate(ReadTensors(*document, path), path));
    return Annotate(Reserve(), path);
  }

  const TensorView* Find(absl::string_view name) const override {
    const auto it = index_.find(name);
    return it == index_.end() ? nullptr : &tensors_[it->second].view;
  }
  const std::vector<std::string>& names() const override { return names_; }
  int64_t total_bytes() const override { return total_bytes_; }

  const RandomTensor* FindRandom(absl::string_view name) const override {
    const auto it = index_.find(name);
    return it == index_.end() ? nullptr : &tensors_[it->second].random;
  }

  absl::Status Draw(absl::Span<const ByteRange> ranges, int num_threads,
                    const LoadProgress& progress) override {
    struct Run {
      const Tensor* tensor;
      int64_t begin, end;  // elements
    };
    std::vector<Run> runs;
    int64_t total = 0;
    for (const ByteRange& range : ranges) {
      const Tensor* tensor = TensorAt(range.data);
      if (tensor == nullptr) {
        return absl::InternalError("draw: a range of no tensor");
      }
      const auto first = static_cast<int64_t>(range.data - tensor->view.data);
      const int64_t begin = first / 2;
      const int64_t end = (first + static_cast<int64_t>(range.bytes) + 1) / 2;
      for (int64_t at = begin; at < end; at += kChunk) {
        runs.push_back({tensor, at, std::min(end, at + kChunk)});
      }
      total += 2 * (end - begin);
    }
    std::atomic<size_t> next{0};
    std::atomic<int64_t> done{0};
    const auto work = [&](bool reports) {
      for (size_t i = next++; i < runs.size(); i = next++) {
        const Run& run = runs[i];
        const int64_t count = run.end - run.begin;
        DrawOnHost(run.tensor->random, {run.begin, 1, count, count},
                   reinterpret_cast<BF16*>(
                       const_cast<uint8_t*>(run.tensor->view.data)) +
                       run.begin);
        done += 2 * count;
        if (reports && progress) progress(done, total);
      }
    };
    std::vector<std::thread> threads;
    for (int i = 1; i < std::clamp(num_threads, 1, 64); ++i) {
      threads.emplace_back(work, false);
    }
    work(true);
    for (std::thread& thread : threads) thread.join();
    if (progress) progress(total, total);
    return absl::OkStatus();
  }

 private:
  struct Tensor {
    TensorView view;
    RandomTensor random;
    int64_t offset = 0;
  };

  absl::Status ReadTensors(const json& document, const std::string& path) {
    FieldReader fields(document, "");
    const std::string generator = fields.String("generator", "");
    if (generator != kGenerator) {
      fields.Fail("generator", absl::StrCat("\"", kGenerator, "\""));
    }
    const auto seed =
        static_cast<uint64_t>(fields.Int("seed", 0, 0, (int64_t{1} << 53) - 1));
    const json* list = fields.Find("tensors");
    if (list == nullptr || !list->is_array() || list->empty() ||
        list->size() > kMostTensors) {
      fields.Fail("tensors", "a list of tensors");
    }
    FACET_RETURN_IF_ERROR(fields.status());
    int64_t elements = 0;
    for (size_t i = 0; i < list->size(); ++i) {
      const json& one = (*list)[i];
      const std::string at = absl::StrCat("tensors[", i, "].");
      if (!one.is_object()) {
        return absl::InvalidArgumentError(
            absl::StrCat(at, ": expected an object"));
      }
      FieldReader reader(one, at);
      Tensor tensor;
      tensor.view.name = reader.String("name", "");
      if (tensor.view.name.empty()) reader.Fail("name", "a tensor's name");
      tensor.random = {seed, static_cast<uint32_t>(i),
                       static_cast<float>(reader.Number("bound", 0, 0, 1e6))};
      int64_t count = 1;
      const json* shape = reader.Find("shape");
      bool good = shape != nullptr && shape->is_array() && !shape->empty() &&
                  shape->size() <= 8;
      for (size_t d = 0; good && d < shape->size(); ++d) {
        const json& size = (*shape)[d];
        const int64_t value =
            size.is_number_unsigned() ? size.get<int64_t>() : 0;
        good = value >= 1 && value <= (kMostElements - elements) / count;
        if (!good) break;
        count *= value;
        tensor.view.shape.push_back(value);
      }
      if (!good) reader.Fail("shape", "a few positive sizes");
      FACET_RETURN_IF_ERROR(reader.status());
      elements += count;
      tensor.view.bytes = 2 * count;
      tensor.view.file = path;
      tensor.offset = static_cast<int64_t>(size_);
      size_ += (tensor.view.bytes + kAlignment - 1) / kAlignment * kAlignment;
      total_bytes_ += static_cast<int64_t>(tensor.view.bytes);
      if (!index_.emplace(tensor.view.name, tensors_.size()).second) {
        return absl::InvalidArgumentError(
            absl::StrCat(at, "name: \"", tensor.view.name,
                         "\" is there twice, expected it once"));
      }
      names_.push_back(tensor.view.name);
      tensors_.push_back(std::move(tensor));
    }
    return absl::OkStatus();
  }

  // Addresses alone: pages come when something is written to them.
  absl::Status Reserve() {
    void* memory = mmap(nullptr, size_, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) {
      return absl::ResourceExhaustedError(
          absl::StrCat("cannot reserve ", size_,
                       " bytes of addresses: ", std::strerror(errno)));
    }
    memory_ = static_cast<uint8_t*>(memory);
    std::vector<ByteRange> vectors;
    for (Tensor& tensor : tensors_) {
      tensor.view.data = memory_ + tensor.offset;
      if (tensor.view.shape.size() == 1) {
        vectors.push_back({tensor.view.data, tensor.view.bytes});
      }
    }
    return Draw(vectors, 1, nullptr);
  }

  const Tensor* TensorAt(const uint8_t* data) const {
    const auto behind = std::upper_bound(
        tensors_.begin(), tensors_.end(), data - memory_,
        [](int64_t at, const Tensor& tensor) { return at < tensor.offset; });
    if (data < memory_ || behind == tensors_.begin()) return nullptr;
    return &*(behind - 1);
  }

  std::vector<Tensor> tensors_;  // by rising offset
  absl::flat_hash_map<std::string, size_t> index_;
  std::vector<std::string> names_;
  int64_t total_bytes_ = 0;
  uint8_t* memory_ = nullptr;
  size_t size_ = 0;
};

}  // namespace

std::string RandomWeightsJson(uint64_t seed,
                              const std::vector<DrawnTensor>& tensors) {
  json list = json::array();
  for (const DrawnTensor& tensor : tensors) {
    list.push_back({{"name", tensor.name},
                    {"shape", tensor.shape},
                    {"bound", tensor.bound}});
  }
  return json({{"generator", kGenerator},
               {"seed", seed},
               {"tensors", std::move(list)}})
      .dump(1);
}

absl::StatusOr<std::unique_ptr<Checkpoint>> OpenRandomCheckpoint(
    const std::string& path) {
  auto checkpoint = std::make_unique<RandomCheckpoint>();
  FACET_RETURN_IF_ERROR(checkpoint->Open(path));
  return checkpoint;
}

}  // namespace facet
