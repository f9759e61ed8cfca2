// The functions of cuBLAS that Facet calls, found at run time: a binary starts
// where there is no cuBLAS, and a test puts functions of its own in their
// place.
#ifndef FACET_KERNELS_CUDA_CUBLAS_API_H_
#define FACET_KERNELS_CUDA_CUBLAS_API_H_

#include <cstddef>
#include <string>

#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace facet {

using CublasHandle = struct cublasContext*;

// As cuBLAS' header has them.
inline constexpr int kCublasSuccess = 0;
inline constexpr int kCublasInvalidValue = 7;
inline constexpr int kCublasAsIs = 0;
inline constexpr int kCublasTransposed = 1;
inline constexpr int kCublasBF16 = 14;
inline constexpr int kCublasF32 = 0;
inline constexpr int kCublasSumsInF32 = 68;
inline constexpr int kCublasBestAlgorithm = -1;
// Parts of a sum that is cut along k may not be added in fewer bits than f32.
inline constexpr int kCublasSumsInFullPrecision = 16;

// Results are 0 or an error of cuBLAS'; streams are the device runtime's.
struct CublasApi {
  // Of the calling thread's device.
  int (*Create)(CublasHandle* handle);
  int (*Destroy)(CublasHandle handle);
  // Forgets the workspace.
  int (*SetStream)(CublasHandle handle, void* stream);
  // Device memory of the caller's; cuBLAS then takes none of its own.
  int (*SetWorkspace)(CublasHandle handle, void* memory, size_t bytes);
  int (*SetMathMode)(CublasHandle handle, int mode);
  // c = alpha * op(a) * op(b) + beta * c, matrices column by column: op(a) is
  // [m, k], op(b) [k, n], c [m, n], and the next column lies `ld` elements on.
  int (*GemmEx)(CublasHandle handle, int op_a, int op_b, int m, int n, int k,
                const void* alpha, const void* a, int type_a, int ld_a,
                const void* b, int type_b, int ld_b, const void* beta, void* c,
                int type_c, int ld_c, int sums, int algorithm);
  const char* (*GetStatusName)(int status);
};

// The first library of `names` that is there, each a path or what the loader
// looks for on LD_LIBRARY_PATH and in the system's folders.
//
// Errors: NOT_FOUND in the loader's words; FAILED_PRECONDITION for a library
// that lacks a function or is older than cuBLAS 11.4.
absl::StatusOr<CublasApi> OpenCublas(absl::Span<const std::string> names);

// libcublas.so.13, libcublas.so.12, or what $FACET_CUBLAS names. Opened once.
absl::StatusOr<const CublasApi*> LoadCublas();

}  // namespace facet

#endif  // FACET_KERNELS_CUDA_CUBLAS_API_H_
