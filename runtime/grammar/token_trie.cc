#include "runtime/grammar/token_trie.h"

#include <algorithm>

#include "absl/algorithm/container.h"
#include "absl/container/flat_hash_set.h"
#include "runtime/grammar/text_groups.h"

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
  FindGroups();
}

void TokenTrie::FindGroups() {
  struct Place {
    uint32_t node = 0;
    int more = 0;  // trailing bytes that its character still needs
    const Utf8Lead* lead = nullptr;  // of a character whose second byte is next
  };
  std::vector<Place> path(1);  // with a root
  std::vector<uint32_t> parents(nodes().size());
  std::vector<bool> inside(nodes().size());  // a character goes on here
  for (uint32_t i = 0; i < nodes().size(); ++i) {
    Node& node = nodes_[i];
    path.resize(node.depth);
    const Place parent = path.back();
    parents[i] = parent.node;
    inside[i] = parent.more > 0;
    Place place = {.node = i};
    if (parent.more > 0) {
      const uint8_t low = parent.lead ? parent.lead->second_low : 0x80;
      const uint8_t high = parent.lead ? parent.lead->second_high : 0xBF;
      place.more = parent.more - 1;
      if (node.byte < low || node.byte > high) node.groups = kNotTextGroup;
    } else if (node.byte < 0x80) {
      node.groups = uint64_t{1} << AsciiGroup(node.byte);
    } else {
      node.groups = kNotTextGroup;
      for (const Utf8Lead& lead : kUtf8Leads) {
        if (node.byte < lead.low || node.byte > lead.high) continue;
        node.groups = kNonAsciiGroup;
        place.more = 1 + lead.more;
        place.lead = &lead;
      }
    }
    const bool ends_inside = place.more > 0 && !TokensIn(i, i + 1).empty();
    if (ends_inside) node.groups = kNotTextGroup;
    path.push_back(place);
  }
  // Children stand behind their parents.
  for (uint32_t i = static_cast<uint32_t>(nodes().size()); i-- > 0;) {
    if (nodes_[i].depth > 1) nodes_[parents[i]].groups |= nodes_[i].groups;
    if (inside[i]) nodes_[i].groups = kNotTextGroup;
  }
}

std::shared_ptr<const TokenTrie> TokenTrie::ForTokenizer(
    const Tokenizer& tokenizer, absl::Span<const int32_t> stop_ids,
    absl::Span<const int32_t> excluded,
    absl::Span<const ControlToken> controls) {
  absl::flat_hash_set<int32_t> left_out(excluded.begin(), excluded.end());
  left_out.insert(stop_ids.begin(), stop_ids.end());
  std::vector<std::string> token_bytes(tokenizer.vocab_size());
  for (int32_t id = 0; id < tokenizer.vocab_size(); ++id) {
    if (tokenizer.is_special(id) || left_out.contains(id)) continue;
    std::string bytes = TokenBytes(tokenizer, id);
    if (absl::c_any_of(bytes, IsControlByte)) continue;
    token_bytes[id] = std::move(bytes);
  }
  for (const ControlToken& control : controls) {
    if (control.id < 0 || control.id >= tokenizer.vocab_size()) continue;
    token_bytes[control.id] = std::string(1, control.byte);
  }
  return std::make_shared<const TokenTrie>(token_bytes, stop_ids);
}

}  // namespace facet
