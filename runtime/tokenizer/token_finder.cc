#include "runtime/tokenizer/token_finder.h"

namespace facet {

TokenFinder::TokenFinder() : nodes_(1, -1) {}

void TokenFinder::Add(absl::string_view spelling, int32_t id) {
  first_[static_cast<uint8_t>(spelling[0])] = true;
  int32_t node = 0;
  for (char byte : spelling) {
    const auto [edge, added] = edges_.try_emplace(
        EdgeKey(node, byte), static_cast<int32_t>(nodes_.size()));
    if (added) nodes_.push_back(-1);
    node = edge->second;
  }
  nodes_[node] = id;
}

}  // namespace facet
