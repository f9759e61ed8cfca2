// Finds tokens spelled out in text: the leftmost first, the longest of those
// that start at the same place.
#ifndef FACET_RUNTIME_TOKENIZER_TOKEN_FINDER_H_
#define FACET_RUNTIME_TOKENIZER_TOKEN_FINDER_H_

#include <cstdint>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"

namespace facet {

// A trie over bytes.
class TokenFinder {
 public:
  TokenFinder();

  // REQUIRES: `spelling` is not empty.
  void Add(absl::string_view spelling, int32_t id);

  // Calls accept(id, length) for each token that starts at `text[at]`, the
  // shortest first.
  template <typename Accept>
  void ForEachAt(absl::string_view text, size_t at, Accept accept) const;

  bool empty() const { return nodes_.size() == 1; }
  // Whether some token starts with `byte`.
  bool StartsWith(char byte) const {
    return first_[static_cast<uint8_t>(byte)];
  }

 private:
  static uint64_t EdgeKey(int32_t node, char byte) {
    return static_cast<uint64_t>(node) << 8 | static_cast<uint8_t>(byte);
  }

  std::vector<int32_t> nodes_;  // the token that ends here, or -1
  absl::flat_hash_map<uint64_t, int32_t> edges_;
  bool first_[256] = {};
};

template <typename Accept>
void TokenFinder::ForEachAt(absl::string_view text, size_t at,
                            Accept accept) const {
  if (!StartsWith(text[at])) return;
  int32_t node = 0;
  for (size_t end = at; end < text.size(); ++end) {
    const auto edge = edges_.find(EdgeKey(node, text[end]));
    if (edge == edges_.end()) return;
    node = edge->second;
    if (nodes_[node] >= 0) accept(nodes_[node], end + 1 - at);
  }
}

}  // namespace facet

#endif  // FACET_RUNTIME_TOKENIZER_TOKEN_FINDER_H_
