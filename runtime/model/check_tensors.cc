#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "runtime/checkpoint/text_tensors.h"
#include "runtime/model/weights.h"

namespace facet {
namespace {

std::string ShapeText(const std::vector<int64_t>& shape) {
  return absl::StrCat("[", absl::StrJoin(shape, ", "), "]");
}

}  // namespace

absl::Status CheckTensors(const ModelConfig& model,
                          const Checkpoint& checkpoint) {
  for (const TensorSpec& spec : TextTensors(model)) {
    const TensorView* tensor = checkpoint.Find(spec.name);
    if (tensor == nullptr) {
      return absl::InvalidArgumentError(absl::StrCat(
          "checkpoint: tensor ", spec.name, " of shape ", ShapeText(spec.shape),
          " is missing; config.json calls for it, so the two do not belong "
          "together or a file is incomplete"));
    }
    if (tensor->shape != spec.shape) {
      return absl::InvalidArgumentError(
          absl::StrCat(tensor->file, ": tensor ", spec.name, " has shape ",
                       ShapeText(tensor->shape), ", expected ",
                       ShapeText(spec.shape), " by config.json"));
    }
    if (tensor->dtype != DType::kBF16 && tensor->dtype != DType::kF32 &&
        tensor->dtype != DType::kF16) {
      return absl::InvalidArgumentError(
          absl::StrCat(tensor->file, ": tensor ", spec.name, " has dtype ",
                       Name(tensor->dtype), ", expected BF16, F16 or F32"));
    }
  }
  return absl::OkStatus();
}

}  // namespace facet
