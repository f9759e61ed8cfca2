#include "runtime/executor/rank_device.h"

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "kernels/cuda/open_device.h"

namespace facet {

absl::StatusOr<OpenRankDevice> ParseDevice(const std::string& text,
                                           int rank_on_machine) {
  if (text == "cpu") return OpenRankDevice();
  absl::string_view index = text;
  int device = rank_on_machine;
  const bool is_cuda =
      text == "cuda" || (absl::ConsumePrefix(&index, "cuda:") &&
                         absl::SimpleAtoi(index, &device) && device >= 0);
  if (!is_cuda) {
    return absl::InvalidArgumentError(
        absl::StrCat("--device: \"", text, "\", expected cpu, cuda or cuda:N"));
  }
  if (!CudaIsBuiltIn()) {
    return absl::InvalidArgumentError(
        absl::StrCat("--device: \"", text, "\", ",
                     OpenCudaDevice(device).status().message()));
  }
  return OpenRankDevice([device] { return OpenCudaDevice(device); });
}

}  // namespace facet
