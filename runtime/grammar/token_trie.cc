#include "runtime/grammar/token_trie.h"

#include <algorithm>

#include "absl/container/flat_hash_set.h"

namespace facet {
namespace {

constexpr size_t kMaxTokenBytes = 255;

}  // namespace

TokenTrie::TokenTrie(absl::Span<const std::string> token_bytes,
                     absl::Span<const int32_t> stop_ids)
    : vocab_size_(static_cast<int64_t>(token_bytes.size())) {
  for (const int32_t id : stop_ids) {
    if (id >= 0 && id < vocab_size_) stop_ids_.push_back(id);
  }
  std::vector<int32_t> order;
  for (int32_t id = 0; id < vocab_size_; ++id) {
    const size_t size = token_bytes[id].size();
    if (size > 0 && size <= kMaxTokenBytes) order.push_back(id);
  }
  std::sort(order.begin(), order.end(), [&](int32_t x, int32_t y) {
    const int compared = token_bytes[x].compare(token_bytes[y]);
    return compared != 0 ? compared < 0 : x < y;
  });
  std::vector<uint32_t> path;  // the nodes of the last token's bytes
  const auto close = [&](size_t depth) {
    while (path.size() > depth) {
      nodes_[path.back()].end = static_cast<uint32_t>(nodes_.size());
      path.pop_back();
    }
  };
  for (const int32_t id : order) {
    const std::string& bytes = token_bytes[id];
    size_t common = 0;
    while (common < path.size() && common < bytes.size() &&
           nodes_[path[common]].byte == static_cast<uint8_t>(bytes[common])) {
      ++common;
    }
    close(common);
    for (size_t i = common; i < bytes.size(); ++i) {
      path.push_back(static_cast<uint32_t>(nodes_.size()));
      nodes_.push_back({.byte = static_cast<uint8_t>(bytes[i]),
                        .depth = static_cast<uint8_t>(i + 1),
                        .tokens = static_cast<uint32_t>(tokens_.size())});
    }
    tokens_.push_back(id);
    max_token_bytes_ =
        std::max(max_token_bytes_, static_cast<int>(bytes.size()));
  }
  close(0);
  nodes_.push_back({.tokens = static_cast<uint32_t>(tokens_.size())});
}

std::shared_ptr<const TokenTrie> TokenTrie::ForTokenizer(
    const Tokenizer& tokenizer, absl::Span<const int32_t> stop_ids,
    absl::Span<const int32_t> excluded) {
  absl::flat_hash_set<int32_t> left_out(excluded.begin(), excluded.end());
  left_out.insert(stop_ids.begin(), stop_ids.end());
  std::vector<std::string> token_bytes(tokenizer.vocab_size());
  for (int32_t id = 0; id < tokenizer.vocab_size(); ++id) {
    if (tokenizer.is_special(id) || left_out.contains(id)) continue;
    token_bytes[id] = TokenBytes(tokenizer, id);
  }
  return std::make_shared<const TokenTrie>(token_bytes, stop_ids);
}

}  // namespace facet
