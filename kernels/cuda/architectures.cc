#include "kernels/cuda/architectures.h"

#include "absl/strings/str_cat.h"

namespace facet {
namespace {

// As in kernels/cuda/cuda.bzl. Machine code runs on its own major version from
// its minor version on; with an "a" on that very one.
struct MachineCode {
  int major;
  int minor;
  bool exact;
};
constexpr MachineCode kMachineCode[] = {
    {8, 0, false}, {9, 0, true}, {10, 0, false}};
// Drivers translate it for this capability and later ones.
constexpr int kIntermediateMajor = 10;

}  // namespace

absl::Status CheckArchitecture(int major, int minor) {
  for (const MachineCode& code : kMachineCode) {
    if (code.major != major) continue;
    if (code.exact ? code.minor == minor : code.minor <= minor) {
      return absl::OkStatus();
    }
  }
  if (major >= kIntermediateMajor) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      "--device=cuda: this GPU is of compute capability ", major, ".", minor,
      "; this build of facet has kernels for 8.x, 9.0, 10.x and later; use "
      "another GPU or --device=cpu"));
}

}  // namespace facet
