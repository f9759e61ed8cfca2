#include "tests/support/golden_data.h"

#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/base/dtype.h"

namespace facet {

absl::StatusOr<GoldenData> GoldenData::Read(const std::string& directory) {
  absl::StatusOr<std::unique_ptr<Checkpoint>> file =
      Checkpoint::Open(directory);
  if (!file.ok()) return file.status();
  GoldenData data;
  data.file_ = *std::move(file);
  return data;
}

std::vector<std::string> GoldenData::TextPrompts() const {
  std::vector<std::string> tags;
  for (int i = 0;; ++i) {
    std::string tag = absl::StrCat("p", i);
    if (!Has(tag + ".input_ids")) return tags;
    tags.push_back(std::move(tag));
  }
}

bool GoldenData::Has(const std::string& name) const {
  return file_->Find(name) != nullptr;
}

std::vector<float> GoldenData::Floats(const std::string& name) const {
  const TensorView& tensor = *file_->Find(name);
  std::vector<float> out(tensor.bytes / SizeOf(tensor.dtype));
  if (tensor.dtype == DType::kF32) {
    std::memcpy(out.data(), tensor.data, tensor.bytes);
    return out;
  }
  for (size_t i = 0; i < out.size(); ++i) {
    BF16 value;
    std::memcpy(&value.bits, tensor.data + 2 * i, 2);
    out[i] = ToFloat(value);
  }
  return out;
}

std::vector<int32_t> GoldenData::Ints(const std::string& name) const {
  const TensorView& tensor = *file_->Find(name);
  std::vector<int32_t> out(tensor.bytes / 4);
  std::memcpy(out.data(), tensor.data, tensor.bytes);
  return out;
}

std::vector<int64_t> GoldenData::Shape(const std::string& name) const {
  return file_->Find(name)->shape;
}

}  // namespace facet
