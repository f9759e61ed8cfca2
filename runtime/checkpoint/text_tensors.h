// The tensors of a Gemma 4 text model as its checkpoint names them.
#ifndef FACET_RUNTIME_CHECKPOINT_TEXT_TENSORS_H_
#define FACET_RUNTIME_CHECKPOINT_TEXT_TENSORS_H_

#include <vector>

#include "runtime/checkpoint/safetensors_writer.h"
#include "runtime/config/model_config.h"

namespace facet {

// Every tensor that the text model needs, in the order it runs through them,
// all bf16. A tied head is not among them.
std::vector<TensorSpec> TextTensors(const ModelConfig& model);

}  // namespace facet

#endif  // FACET_RUNTIME_CHECKPOINT_TEXT_TENSORS_H_
