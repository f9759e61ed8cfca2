// Weights that lie in no file: a list of tensors to be drawn at random by
// kernels/random_weights, where they are needed. A machine is tried with a
// model of any size without writing it to a disk.
#ifndef FACET_RUNTIME_CHECKPOINT_RANDOM_CHECKPOINT_H_
#define FACET_RUNTIME_CHECKPOINT_RANDOM_CHECKPOINT_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "kernels/random_weights/random_weights.h"
#include "runtime/checkpoint/checkpoint.h"

namespace facet {

// Beside config.json, in the place of *.safetensors.
inline constexpr char kRandomWeightsName[] = "random_weights.json";

struct DrawnTensor {
  std::string name;
  std::vector<int64_t> shape;
  float bound = 0;  // see RandomTensor
};

// The text of such a file. Tensor i of the list is number i of `seed`.
std::string RandomWeightsJson(uint64_t seed,
                              const std::vector<DrawnTensor>& tensors);

// Views lead to memory that is reserved and empty; vectors alone are there.
// `path` names the file.
//
// Errors: NOT_FOUND, INVALID_ARGUMENT naming file, tensor, expected and found;
// RESOURCE_EXHAUSTED when so many addresses cannot be had.
absl::StatusOr<std::unique_ptr<Checkpoint>> OpenRandomCheckpoint(
    const std::string& path);

}  // namespace facet

#endif  // FACET_RUNTIME_CHECKPOINT_RANDOM_CHECKPOINT_H_
