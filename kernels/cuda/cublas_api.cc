#include "kernels/cuda/cublas_api.h"

#include <cstdlib>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "kernels/base/shared_library.h"
#include "kernels/base/status_macros.h"

namespace facet {
namespace {

// libraryPropertyType of CUDA.
constexpr int kMajorVersion = 0;
constexpr int kMinorVersion = 1;

// The first whose status has a name; products of bf16 were there before.
constexpr int kOldest = 11 * 100 + 4;

constexpr char kVariable[] = "FACET_CUBLAS";

}  // namespace

absl::StatusOr<CublasApi> OpenCublas(absl::Span<const std::string> names) {
  FACET_ASSIGN_OR_RETURN(
      SharedLibrary library,
      SharedLibrary::Open(names, "cuBLAS",
                          absl::StrCat("cuBLAS ", kOldest / 100, ".",
                                       kOldest % 100, " or later"),
                          kVariable));
  CublasApi api;
  int (*get_property)(int property, int* value);
  library.Find("cublasGetProperty", &get_property);
  library.Find("cublasCreate_v2", &api.Create);
  library.Find("cublasDestroy_v2", &api.Destroy);
  library.Find("cublasSetStream_v2", &api.SetStream);
  library.Find("cublasSetWorkspace_v2", &api.SetWorkspace);
  library.Find("cublasSetMathMode", &api.SetMathMode);
  library.Find("cublasGemmEx", &api.GemmEx);
  library.Find("cublasGetStatusName", &api.GetStatusName);
  FACET_RETURN_IF_ERROR(library.status());
  int major = 0, minor = 0;
  get_property(kMajorVersion, &major);
  get_property(kMinorVersion, &minor);
  if (major * 100 + minor < kOldest) {
    return library.TooOld(absl::StrCat(major, ".", minor));
  }
  return api;
}

absl::StatusOr<const CublasApi*> LoadCublas() {
  static const absl::StatusOr<CublasApi> loaded = [] {
    std::vector<std::string> names = {"libcublas.so.13", "libcublas.so.12"};
    if (const char* named = std::getenv(kVariable)) names = {named};
    return OpenCublas(names);
  }();
  if (!loaded.ok()) return loaded.status();
  return &*loaded;
}

}  // namespace facet
