// A Hugging Face checkpoint directory: *.safetensors with or without
// model.safetensors.index.json, memory-mapped and read-only. Opening reads the
// headers alone; tensors are views into the mapping, so every process on a
// machine shares one copy in the page cache. Or weights that lie in no file.
#ifndef FACET_RUNTIME_CHECKPOINT_CHECKPOINT_H_
#define FACET_RUNTIME_CHECKPOINT_CHECKPOINT_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "kernels/base/dtype.h"
#include "kernels/random_weights/random_weights.h"

namespace facet {

// A tensor inside a mapped file. `data` may be unaligned.
struct TensorView {
  std::string name;
  DType dtype = DType::kBF16;
  std::vector<int64_t> shape;
  const uint8_t* data = nullptr;
  size_t bytes = 0;
  std::string file;  // for messages
};

// One run of bytes that a rank will read.
struct ByteRange {
  const uint8_t* data = nullptr;
  size_t bytes = 0;
};

// Called now and then from one thread with bytes done so far and bytes in all.
using LoadProgress = std::function<void(int64_t done, int64_t total)>;

// Immutable after Open(), so threads may share one. Views live as long as it.
class Checkpoint {
 public:
  // Where there is no *.safetensors but random_weights.json, weights are drawn;
  // see runtime/checkpoint/random_checkpoint.h.
  //
  // Errors (each names file, tensor, expected and found):
  //   NOT_FOUND         no directory, no *.safetensors, a shard that the index
  //                     lists is missing
  //   INVALID_ARGUMENT  truncated file, header longer than the file or not
  //                     JSON, offsets out of range, overlapping or at odds with
  //                     dtype and shape, unknown dtype, duplicate tensor, index
  //                     that names a tensor its shard lacks
  static absl::StatusOr<std::unique_ptr<Checkpoint>> Open(
      const std::string& directory);
  virtual ~Checkpoint() = default;

  // Null when there is no such tensor.
  virtual const TensorView* Find(absl::string_view name) const = 0;
  virtual const std::vector<std::string>& names() const = 0;
  virtual int64_t total_bytes() const = 0;

  // How a tensor's elements are drawn, for weights that lie in no file. Null:
  // they are where the view leads.
  virtual const RandomTensor* FindRandom(absl::string_view) const {
    return nullptr;
  }
  // Draws matrices to where views lead, before they are read on the host;
  // ranges lie inside tensors. Files need none of it. One thread calls.
  virtual absl::Status Draw(absl::Span<const ByteRange>, int /*num_threads*/,
                            const LoadProgress&) {
    return absl::OkStatus();
  }
};

// Brings `ranges` into this process' page tables with `num_threads` threads,
// reading from disk what is not cached. Errors: DATA_LOSS when the file became
// shorter than its mapping.
absl::Status Prefault(absl::Span<const ByteRange> ranges, int num_threads,
                      const LoadProgress& progress);

}  // namespace facet

#endif  // FACET_RUNTIME_CHECKPOINT_CHECKPOINT_H_
