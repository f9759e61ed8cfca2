// The spellings of all tokens, by id and back, packed into a few flat arrays: a
// vocabulary of 262144 entries takes about 8 MB.
#ifndef FACET_RUNTIME_TOKENIZER_VOCABULARY_H_
#define FACET_RUNTIME_TOKENIZER_VOCABULARY_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace facet {

// Immutable, so threads may share one.
class Vocabulary {
 public:
  Vocabulary() = default;

  // `spellings[id]` spells token `id`; empty for an id without a token.
  // REQUIRES: no spelling occurs twice; their total length is below 4 GiB.
  explicit Vocabulary(absl::Span<const absl::string_view> spellings);

  int64_t size() const { return static_cast<int64_t>(begins_.size()) - 1; }

  // Empty when `id` is out of range.
  absl::string_view Spelling(int32_t id) const {
    if (id < 0 || id >= size()) return {};
    return absl::string_view(bytes_).substr(begins_[id],
                                            begins_[id + 1] - begins_[id]);
  }

  // -1 when no token is spelled `spelling`.
  int32_t Find(absl::string_view spelling) const;

 private:
  struct Slot {
    uint32_t hash = 0;
    int32_t id = -1;  // -1: free
  };

  std::string bytes_;                   // all spellings in order of their ids
  std::vector<uint32_t> begins_ = {0};  // [size + 1]
  std::vector<Slot> slots_;             // open addressing, a power of two
};

// 0..255 for the spelling of a byte token such as "<0x0A>", else -1.
int ByteOfSpelling(absl::string_view spelling);

}  // namespace facet

#endif  // FACET_RUNTIME_TOKENIZER_VOCABULARY_H_
