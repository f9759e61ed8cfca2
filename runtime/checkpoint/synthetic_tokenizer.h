// A tokenizer.json of any size that needs no training data.
#ifndef FACET_RUNTIME_CHECKPOINT_SYNTHETIC_TOKENIZER_H_
#define FACET_RUNTIME_CHECKPOINT_SYNTHETIC_TOKENIZER_H_

#include <cstdint>
#include <string>

namespace facet {

// The smallest vocabulary: special tokens, one token per byte, ASCII.
inline constexpr int64_t kMinSyntheticVocab = 512;

// A Gemma-like byte-fallback BPE tokenizer with exactly `vocab_size` entries:
// the low special tokens at their usual ids, bytes, printable ASCII, and pieces
// of letters up to the size. REQUIRES: vocab_size >= kMinSyntheticVocab.
std::string SyntheticTokenizerJson(int64_t vocab_size);

}  // namespace facet

#endif  // FACET_RUNTIME_CHECKPOINT_SYNTHETIC_TOKENIZER_H_
