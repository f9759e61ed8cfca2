// Products of many rows through the vendor's library, cuBLAS, for
// --numerics=fast. Inputs are rounded to bf16 once, for all products that read
// them; sums and results are f32. In which order a sum is added is the
// library's affair and goes by the number of rows.
#ifndef FACET_KERNELS_CUDA_LIBRARY_PRODUCTS_H_
#define FACET_KERNELS_CUDA_LIBRARY_PRODUCTS_H_

#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "kernels/backend/device.h"
#include "kernels/cuda/cublas_api.h"
#include "kernels/cuda/launch_line.h"
#include "kernels/matmul/big_products_cuda_plan.h"
#include "kernels/matmul/matmul.h"

namespace facet {
namespace FACET_CUDA {

// One thread calls.
class LibraryProducts {
 public:
  // Whether steps of these limits would have products for it.
  static bool IsWanted(const BackendLimits& limits);
  // Device memory that Create() takes, and what the library takes by itself.
  static size_t Bytes();

  // Its arguments outlive it. The calling thread has selected the device.
  //
  // Errors: INTERNAL, naming cuBLAS' own; RESOURCE_EXHAUSTED.
  static absl::StatusOr<std::unique_ptr<LibraryProducts>> Create(
      const CublasApi* api, Device* device, const ProductScratch& scratch,
      Stream stream);
  ~LibraryProducts();

  // Whether the library is the faster one for `args`; goes by its shape.
  bool Takes(const MatmulArgs& args) const;

  // Behind what `line` holds; hands that over first. Products of rows that are
  // gathered, gated or cut into segments come out as they do elsewhere, the
  // latter in one sum.
  //
  // REQUIRES: Takes() each.
  absl::Status Run(absl::Span<const MatmulArgs> problems, LaunchLine& line);
  // Problems so far.
  int64_t count() const { return count_; }

 private:
  LibraryProducts(const CublasApi* api, const ProductScratch& scratch)
      : api_(*api), scratch_(scratch) {}

  // y = x * w, `columns` rows of w from `first` on.
  absl::Status Multiply(const MatmulArgs& args, const void* w, int64_t first,
                        int64_t columns, float* y, int64_t y_stride);
  absl::Status MultiplyGated(const MatmulArgs& args, LaunchLine& line);
  absl::Status ToStatus(int result, const char* call) const;

  const CublasApi& api_;
  const ProductScratch scratch_;
  int64_t count_ = 0;
  CublasHandle handle_ = nullptr;
  DeviceMemory workspace_;  // the library's
};

}  // namespace FACET_CUDA
}  // namespace facet

#endif  // FACET_KERNELS_CUDA_LIBRARY_PRODUCTS_H_
