// All tokens of a vocabulary as one trie of bytes, flat and in depth-first
// order, so that a walk reads memory forwards and skips a subtree by one jump.
#ifndef FACET_RUNTIME_GRAMMAR_TOKEN_TRIE_H_
#define FACET_RUNTIME_GRAMMAR_TOKEN_TRIE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "runtime/grammar/control_bytes.h"
#include "runtime/tokenizer/tokenizer.h"

namespace facet {

// Immutable, so threads may share one.
class TokenTrie {
 public:
  struct Node {
    uint8_t byte = 0;
    uint8_t depth = 0;    // 1 for a first byte; no token exceeds 255 bytes
    uint32_t end = 0;     // one behind the subtree
    uint32_t tokens = 0;  // the first of its tokens; they end where those of
                          // the next node begin
    uint64_t groups = 0;  // of characters in the subtree (text_groups.h)
  };

  // `token_bytes[id]` is what token `id` adds to a text; empty for tokens that
  // no answer may contain (special tokens, ids without a token). A token of
  // more than 255 bytes is left out as well. `stop_ids` end an answer.
  TokenTrie(absl::Span<const std::string> token_bytes,
            absl::Span<const int32_t> stop_ids);

  // The tokens of `tokenizer` that are neither special nor in `excluded`: ids
  // that mean something else than their text, such as channel marks. Those in
  // `controls` stand for their bytes, and no other token has such a byte.
  static std::shared_ptr<const TokenTrie> ForTokenizer(
      const Tokenizer& tokenizer, absl::Span<const int32_t> stop_ids,
      absl::Span<const int32_t> excluded = {},
      absl::Span<const ControlToken> controls = {});

  int64_t vocab_size() const { return vocab_size_; }
  int max_token_bytes() const { return max_token_bytes_; }
  absl::Span<const int32_t> stop_ids() const { return stop_ids_; }

  // In depth-first order, without a root; one more node stands at the end.
  absl::Span<const Node> nodes() const {
    return absl::MakeConstSpan(nodes_).first(nodes_.size() - 1);
  }
  // The ids whose bytes end at nodes()[begin] to nodes()[end - 1].
  absl::Span<const int32_t> TokensIn(uint32_t begin, uint32_t end) const {
    return absl::MakeConstSpan(tokens_).subspan(
        nodes_[begin].tokens, nodes_[end].tokens - nodes_[begin].tokens);
  }

 private:
  void FindGroups();

  int64_t vocab_size_ = 0;
  int max_token_bytes_ = 0;
  std::vector<int32_t> stop_ids_;
  std::vector<Node> nodes_;
  std::vector<int32_t> tokens_;
};

}  // namespace facet

#endif  // FACET_RUNTIME_GRAMMAR_TOKEN_TRIE_H_
