#include "kernels/cuda/cublas_api.h"

#include <dlfcn.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"

namespace facet {
namespace {

// libraryPropertyType of CUDA.
constexpr int kMajorVersion = 0;
constexpr int kMinorVersion = 1;

// The first whose status has a name; products of bf16 were there before.
constexpr int kOldest = 11 * 100 + 4;

}  // namespace

absl::StatusOr<CublasApi> OpenCublas(absl::Span<const std::string> names) {
  void* library = nullptr;
  std::string path, why;
  for (const std::string& name : names) {
    library = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library != nullptr) {
      path = name;
      break;
    }
    absl::StrAppend(&why, why.empty() ? "" : "; ", dlerror());
  }
  if (library == nullptr) {
    return absl::NotFoundError(
        absl::StrCat("cuBLAS: ", why,
                     "; put it on LD_LIBRARY_PATH or name it in FACET_CUBLAS"));
  }
  const std::string expected = absl::StrCat(", expected cuBLAS ", kOldest / 100,
                                            ".", kOldest % 100, " or later");
  CublasApi api;
  absl::Status status;
  const auto find = [&](const char* name, auto* function) {
    *reinterpret_cast<void**>(function) = dlsym(library, name);
    if (*function == nullptr && status.ok()) {
      status = absl::FailedPreconditionError(
          absl::StrCat("cuBLAS: ", path, " has no ", name, expected));
    }
  };
  int (*get_property)(int property, int* value);
  find("cublasGetProperty", &get_property);
  find("cublasCreate_v2", &api.Create);
  find("cublasDestroy_v2", &api.Destroy);
  find("cublasSetStream_v2", &api.SetStream);
  find("cublasSetWorkspace_v2", &api.SetWorkspace);
  find("cublasSetMathMode", &api.SetMathMode);
  find("cublasGemmEx", &api.GemmEx);
  find("cublasGetStatusName", &api.GetStatusName);
  if (!status.ok()) return status;
  int major = 0, minor = 0;
  get_property(kMajorVersion, &major);
  get_property(kMinorVersion, &minor);
  if (major * 100 + minor < kOldest) {
    return absl::FailedPreconditionError(absl::StrCat(
        "cuBLAS: ", path, " is version ", major, ".", minor, expected));
  }
  return api;
}

absl::StatusOr<const CublasApi*> LoadCublas() {
  static const absl::StatusOr<CublasApi> loaded = [] {
    std::vector<std::string> names = {"libcublas.so.13", "libcublas.so.12"};
    if (const char* named = std::getenv("FACET_CUBLAS")) names = {named};
    return OpenCublas(names);
  }();
  if (!loaded.ok()) return loaded.status();
  return &*loaded;
}

}  // namespace facet
