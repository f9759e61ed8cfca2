// Byte-pair encoding with byte fallback: which tokens a piece of text becomes.
//
// Among all adjacent pairs of tokens the one of the lowest rank is merged, the
// leftmost among equals, until no pair has a rank (arXiv:1508.07909). Gemma
// runs this over whole paragraphs, so two things keep it fast: text is first
// cut wherever no merge can reach across (an exact cut, found from the merges
// themselves), and long pieces use a heap instead of a scan.
#ifndef FACET_RUNTIME_TOKENIZER_BPE_H_
#define FACET_RUNTIME_TOKENIZER_BPE_H_

#include <cstdint>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/string_view.h"

namespace facet {

class Vocabulary;

// Tokens `left` and `right`, adjacent, become `merged`. Lower ranks go first.
struct Merge {
  int32_t left = 0;
  int32_t right = 0;
  int32_t merged = 0;
  uint32_t rank = 0;
};

// Immutable, so threads may share one.
class Bpe {
 public:
  // Of merges of the same pair the last one counts. `vocabulary` is only read
  // here. REQUIRES: it has all 256 byte tokens, ids are below 2^31 - 1 and
  // ranks below 2^32 - 1.
  Bpe(const Vocabulary& vocabulary, const std::vector<Merge>& merges);

  // Appends the tokens of `text`, whose spaces count as U+2581.
  // REQUIRES: `text` is valid UTF-8 below 1 GiB.
  void Encode(absl::string_view text, std::vector<int32_t>* ids) const;

 private:
  struct Slot {
    uint64_t pair = kFree;  // left << 32 | right
    uint32_t rank = 0;
    int32_t merged = 0;
  };
  static constexpr uint64_t kFree = ~uint64_t{0};

  const Slot* Find(int32_t left, int32_t right) const;
  bool MergesAcross(char32_t left, char32_t right) const;
  // The token of one character, or -1 where it falls back to bytes.
  int32_t SymbolOf(char32_t c) const;

  void MergePiece(std::vector<int32_t>* symbols) const;
  void MergeByScan(std::vector<int32_t>* symbols) const;
  void MergeByHeap(std::vector<int32_t>* symbols) const;

  std::vector<Slot> slots_;  // open addressing, a power of two
  int shift_ = 0;
  int32_t byte_tokens_[256];
  std::vector<int32_t> symbols_;  // by character below U+10000
  absl::flat_hash_map<char32_t, int32_t> high_symbols_;  // above
  // The pairs of neighbouring characters that some merge joins.
  std::vector<bool> ascii_joints_;  // [128 * 128]
  absl::flat_hash_set<uint64_t> joints_;
  bool cuts_ = true;  // false: a merge joins byte tokens, so no cut is safe
};

}  // namespace facet

#endif  // FACET_RUNTIME_TOKENIZER_BPE_H_
