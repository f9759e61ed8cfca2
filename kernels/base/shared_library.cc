#include "kernels/base/shared_library.h"

#include <dlfcn.h>

#include "absl/strings/str_cat.h"

namespace facet {

absl::StatusOr<SharedLibrary> SharedLibrary::Open(
    absl::Span<const std::string> names, const std::string& title,
    const std::string& expected, const std::string& variable) {
  SharedLibrary library;
  library.title_ = title;
  library.expected_ = expected;
  std::string why;
  for (const std::string& name : names) {
    library.handle_ = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
    library.path_ = name;
    if (library.handle_ != nullptr) return library;
    absl::StrAppend(&why, why.empty() ? "" : "; ", dlerror());
  }
  return absl::NotFoundError(absl::StrCat(title, ": ", why,
                                          "; put it on LD_LIBRARY_PATH or name "
                                          "it in ",
                                          variable));
}

void* SharedLibrary::Symbol(const char* name, bool required) {
  void* const symbol = dlsym(handle_, name);
  if (symbol == nullptr && required && status_.ok()) {
    status_ = absl::FailedPreconditionError(absl::StrCat(
        title_, ": ", path_, " has no ", name, ", expected ", expected_));
  }
  return symbol;
}

absl::Status SharedLibrary::TooOld(const std::string& found) const {
  return absl::FailedPreconditionError(absl::StrCat(
      title_, ": ", path_, " is version ", found, ", expected ", expected_));
}

}  // namespace facet
