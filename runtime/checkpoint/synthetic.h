// Checkpoints of random weights in the layout of Hugging Face, for tests,
// benchmarks and dry runs of clusters. Sizes are real, answers are noise.
#ifndef FACET_RUNTIME_CHECKPOINT_SYNTHETIC_H_
#define FACET_RUNTIME_CHECKPOINT_SYNTHETIC_H_

#include <string>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "runtime/checkpoint/checkpoint.h"

namespace facet {

struct SyntheticPreset {
  const char* name;
  const char* description;  // one line: shape and size on disk
};

absl::Span<const SyntheticPreset> SyntheticPresets();

// Drawn ones take no room on a disk: whoever loads them draws them where they
// are needed, see runtime/checkpoint/random_checkpoint.h. Of the same
// distribution, with other bits.
enum class SyntheticWeights { kWritten, kDrawn };

// Writes config.json, generation_config.json, a byte-fallback tokenizer and the
// weights of `preset` to `directory`, which is made if need be. Matrices are
// uniform with standard deviation 1 / sqrt(columns), embeddings 1 /
// sqrt(hidden_size); norms and scales are 1. The same preset gives the same
// bytes on every machine. Uses all cores and little memory.
//
// Errors: INVALID_ARGUMENT for an unknown preset, naming the known;
// ALREADY_EXISTS when `directory` holds anything; RESOURCE_EXHAUSTED when the
// disk lacks room; INTERNAL when it cannot be written.
absl::Status WriteSynthetic(const std::string& preset,
                            const std::string& directory,
                            SyntheticWeights weights,
                            const LoadProgress& progress);

}  // namespace facet

#endif  // FACET_RUNTIME_CHECKPOINT_SYNTHETIC_H_
