#include "kernels/cuda/library_products.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "kernels/cuda/operations.h"
#include "kernels/matmul/library_products_plan.h"

namespace facet {
namespace FACET_CUDA {
bool LibraryProducts::IsWanted(const BackendLimits& limits) {
  return limits.fast && limits.tokens >= kManyRows && limits.widest_input > 0;
}

size_t LibraryProducts::Bytes() {
  return kLibraryWorkspaceBytes + kLibraryOwnBytes;
}

absl::StatusOr<std::unique_ptr<LibraryProducts>> LibraryProducts::Create(
    const CublasApi* api, Device* device, const ProductScratch& scratch,
    Stream stream) {
  std::unique_ptr<LibraryProducts> made(new LibraryProducts(api, scratch));
  FACET_ASSIGN_OR_RETURN(made->workspace_,
                         DeviceMemory::Allocate(device, kLibraryWorkspaceBytes,
                                                "workspace of cuBLAS"));
  FACET_RETURN_IF_ERROR(
      made->ToStatus(api->Create(&made->handle_), "cublasCreate"));
  // In this order: a new stream forgets the workspace.
  FACET_RETURN_IF_ERROR(
      made->ToStatus(api->SetStream(made->handle_, stream), "cublasSetStream"));
  FACET_RETURN_IF_ERROR(
      made->ToStatus(api->SetWorkspace(made->handle_, made->workspace_.data(),
                                       kLibraryWorkspaceBytes),
                     "cublasSetWorkspace"));
  FACET_RETURN_IF_ERROR(made->ToStatus(
      api->SetMathMode(made->handle_, kCublasSumsInFullPrecision),
      "cublasSetMathMode"));
  return made;
}

LibraryProducts::~LibraryProducts() {
  if (handle_ != nullptr) api_.Destroy(handle_);
}

bool LibraryProducts::Takes(const MatmulArgs& args) const {
  return LibraryTakes(args) &&
         RoundedBytes(args.m, args.k) <= scratch_.rounded_bytes;
}

absl::Status LibraryProducts::Run(absl::Span<const MatmulArgs> problems,
                                  LaunchLine& line) {
  while (!problems.empty()) {
    const size_t sharing = RoundSharedInput(problems, scratch_.rounded, line);
    FACET_RETURN_IF_ERROR(line.Run());
    for (const MatmulArgs& args : problems.first(sharing)) {
      ++count_;
      if (args.up != nullptr) {
        FACET_RETURN_IF_ERROR(MultiplyGated(args, line));
      } else {
        FACET_RETURN_IF_ERROR(
            Multiply(args, args.w, 0, args.n, args.y, args.y_stride));
      }
    }
    problems.remove_prefix(sharing);
  }
  return absl::OkStatus();
}

absl::Status LibraryProducts::MultiplyGated(const MatmulArgs& args,
                                            LaunchLine& line) {
  const int64_t together = ColumnsTogether(args.m, args.n);
  float* up = scratch_.sums;
  for (int64_t first = 0; first < args.n; first += together) {
    const int64_t columns = std::min(together, args.n - first);
    float* gate = args.y + first;
    FACET_RETURN_IF_ERROR(
        Multiply(args, args.w, first, columns, gate, args.y_stride));
    FACET_RETURN_IF_ERROR(Multiply(args, args.up, first, columns, up, columns));
    GatedGeluArgs gelu;
    gelu.rows = args.m;
    gelu.width = gelu.up_stride = columns;
    gelu.gate = gelu.y = gate;
    gelu.gate_stride = gelu.y_stride = args.y_stride;
    gelu.up = up;
    GatedGelu(gelu, line);
    FACET_RETURN_IF_ERROR(line.Run());
  }
  return absl::OkStatus();
}

// The library's matrices are those of ours turned over: y, [rows, columns] row
// by row, is to it [columns, rows], and w, [columns, k], is [k, columns].
absl::Status LibraryProducts::Multiply(const MatmulArgs& args, const void* w,
                                       int64_t first, int64_t columns, float* y,
                                       int64_t y_stride) {
  const float one = 1, zero = 0;
  const BF16* rows_of_w = static_cast<const BF16*>(w) + first * args.w_stride;
  return ToStatus(
      api_.GemmEx(
          handle_, kCublasTransposed, kCublasAsIs, static_cast<int>(columns),
          static_cast<int>(args.m), static_cast<int>(args.k), &one, rows_of_w,
          kCublasBF16, static_cast<int>(args.w_stride), scratch_.rounded,
          kCublasBF16, static_cast<int>(args.k), &zero, y, kCublasF32,
          static_cast<int>(y_stride), kCublasSumsInF32, kCublasBestAlgorithm),
      "cublasGemmEx");
}

absl::Status LibraryProducts::ToStatus(int result, const char* call) const {
  if (result == kCublasSuccess) return absl::OkStatus();
  const char* name = api_.GetStatusName(result);
  return absl::InternalError(
      absl::StrCat(call, ": ", name != nullptr ? name : "error ",
                   name != nullptr ? "" : absl::StrCat(result).c_str()));
}

}  // namespace FACET_CUDA
}  // namespace facet
