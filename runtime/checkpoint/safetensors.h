// The header of one .safetensors file: names, dtypes, shapes and places of its
// tensors. Pure: bytes in, plain values out.
//
// Layout: u64 little-endian header length, that many bytes of JSON, then the
// data, which the tensors cover without holes or overlap.
#ifndef FACET_RUNTIME_CHECKPOINT_SAFETENSORS_H_
#define FACET_RUNTIME_CHECKPOINT_SAFETENSORS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "kernels/base/dtype.h"

namespace facet {

struct SafetensorsEntry {
  std::string name;
  DType dtype = DType::kBF16;
  std::vector<int64_t> shape;
  // Bytes from the start of the file.
  uint64_t begin = 0;
  uint64_t end = 0;
};

// Tensors in order of their place. `file` is the whole file; its data is not
// read.
//
// Errors: INVALID_ARGUMENT, naming the tensor, what was expected and what was
// found: a file or header cut short, a header that is no JSON of the form above
// or longer than 100 MB, an unknown dtype, a tensor twice, a shape or offsets
// that disagree with each other or with the file.
absl::StatusOr<std::vector<SafetensorsEntry>> ParseSafetensors(
    absl::string_view file);

}  // namespace facet

#endif  // FACET_RUNTIME_CHECKPOINT_SAFETENSORS_H_
