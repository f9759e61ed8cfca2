// A library that is found at run time, so that a binary starts without it.
#ifndef FACET_KERNELS_BASE_SHARED_LIBRARY_H_
#define FACET_KERNELS_BASE_SHARED_LIBRARY_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace facet {

// It stays loaded. One thread calls.
class SharedLibrary {
 public:
  // The first of `names` that can be loaded. `title` is for people, such as
  // "NCCL"; `expected` what versions will do, such as "NCCL 2.14 or later";
  // `variable` the environment's that the caller takes a name from.
  //
  // Errors: NOT_FOUND with the loader's reasons and what to do.
  static absl::StatusOr<SharedLibrary> Open(absl::Span<const std::string> names,
                                            const std::string& title,
                                            const std::string& expected,
                                            const std::string& variable);

  // The function `name`; null where there is none, which status() tells.
  template <typename Function>
  void Find(const char* name, Function** function) {
    *function = reinterpret_cast<Function*>(Symbol(name, /*required=*/true));
  }
  // The same where it may be missing.
  template <typename Function>
  void FindIfThere(const char* name, Function** function) {
    *function = reinterpret_cast<Function*>(Symbol(name, /*required=*/false));
  }

  // FAILED_PRECONDITION naming the first function that was missing.
  const absl::Status& status() const { return status_; }
  // The same, of a version that is too old.
  absl::Status TooOld(const std::string& found) const;

 private:
  SharedLibrary() = default;
  void* Symbol(const char* name, bool required);

  void* handle_ = nullptr;
  std::string path_, title_, expected_;
  absl::Status status_;
};

}  // namespace facet

#endif  // FACET_KERNELS_BASE_SHARED_LIBRARY_H_
