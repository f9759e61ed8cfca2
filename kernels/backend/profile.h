// Where the time of a forward pass goes: a backend around another that times
// every operation and counts what it had to do.
#ifndef FACET_KERNELS_BACKEND_PROFILE_H_
#define FACET_KERNELS_BACKEND_PROFILE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "kernels/backend/backend.h"

namespace facet {

// All operations of one use.
struct OperationProfile {
  std::string use;
  int64_t calls = 0;
  double seconds = 0;
  // The least it could read and write: every weight, key and value once, and
  // the rows that go in and out.
  double bytes = 0;
  double flops = 0;
};

// Not thread-safe: read it while the model does not run.
class Profile {
 public:
  void Add(const char* use, double seconds, double bytes, double flops);
  void Clear() { operations_.clear(); }
  // In the order of first use.
  const std::vector<OperationProfile>& operations() const {
    return operations_;
  }

 private:
  std::vector<OperationProfile> operations_;
};

// Passes everything on to `backend`; `profile` outlives it.
std::unique_ptr<Backend> MakeProfilingBackend(std::unique_ptr<Backend> backend,
                                              Profile* profile);

}  // namespace facet

#endif  // FACET_KERNELS_BACKEND_PROFILE_H_
