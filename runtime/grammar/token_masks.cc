#include "runtime/grammar/token_masks.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "runtime/grammar/readings.h"
#include "runtime/grammar/text_groups.h"
#include "runtime/grammar/walk_states.h"

namespace facet {
namespace {

// Subtrees with fewer tokens are walked: that is as fast as asking whether the
// walk is needed.
constexpr uint32_t kMinSkippedTokens = 8;

}  // namespace

absl::StatusOr<TokenMask> ComputeTokenMask(const TokenTrie& trie,
                                           const GrammarMatcher& matcher) {
  TokenMask mask;
  mask.resize((trie.vocab_size() + 63) / 64);
  const auto allow = [&mask](int32_t id) {
    mask[id / 64] |= uint64_t{1} << (id % 64);
  };
  if (matcher.CanEnd()) {
    for (const int32_t id : trie.stop_ids()) allow(id);
  }
  if (matcher.IsFinished()) return mask;
  StackPool stacks = matcher.stacks();
  Readings readings = matcher.readings();
  Canonicalize(trie.max_token_bytes(), &stacks, &readings);
  WalkStates states(matcher.grammar().automaton(), &stacks);
  int32_t after[257];  // the state after the first so many bytes
  after[0] = states.Intern(std::move(readings));
  const absl::Span<const TokenTrie::Node> nodes = trie.nodes();
  for (uint32_t i = 0; i < nodes.size();) {
    const TokenTrie::Node& node = nodes[i];
    const int32_t before = after[node.depth - 1];
    const int32_t state = states.Next(before, node.byte);
    if (states.exhausted()) {
      return absl::ResourceExhaustedError(
          "the grammar is too ambiguous to find the tokens that may come next; "
          "rewrite it so that repeated parts cannot match the same text in "
          "several ways");
    }
    if (state == WalkStates::kDead) {
      i = node.end;
      continue;
    }
    absl::Span<const int32_t> allowed = trie.TokensIn(i, i + 1);
    uint32_t next = i + 1;
    const bool may_skip = state == before || node.byte >= 0x80;
    if (may_skip && (node.groups & kNotTextGroup) == 0) {
      const absl::Span<const int32_t> all = trie.TokensIn(i, node.end);
      if (all.size() >= kMinSkippedTokens &&
          (node.groups & ~states.Loops(before)) == 0) {
        allowed = all;
        next = node.end;
      }
    }
    for (const int32_t id : allowed) allow(id);
    after[node.depth] = state;
    i = next;
  }
  return mask;
}

MaskCache::MaskCache(std::shared_ptr<const TokenTrie> trie, int64_t max_bytes)
    : trie_(std::move(trie)), max_bytes_(max_bytes) {}

std::string MaskCache::KeyOf(const GrammarMatcher& matcher) const {
  return absl::StrCat(matcher.grammar().id(), ":",
                      matcher.StateKey(trie_->max_token_bytes()));
}

std::shared_ptr<const TokenMask> MaskCache::Lookup(const std::string& key) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = by_key_.find(key);
  if (found == by_key_.end()) return nullptr;
  ++stats_.hits;
  entries_.splice(entries_.begin(), entries_, found->second);
  return found->second->mask;
}

std::shared_ptr<const TokenMask> MaskCache::Find(
    const GrammarMatcher& matcher) {
  return Lookup(KeyOf(matcher));
}

absl::StatusOr<std::shared_ptr<const TokenMask>> MaskCache::MaskFor(
    const GrammarMatcher& matcher) {
  std::string key = KeyOf(matcher);
  if (std::shared_ptr<const TokenMask> mask = Lookup(key)) return mask;
  FACET_ASSIGN_OR_RETURN(TokenMask computed, ComputeTokenMask(*trie_, matcher));
  auto mask = std::make_shared<const TokenMask>(std::move(computed));
  const int64_t bytes = static_cast<int64_t>(
      mask->size() * sizeof(uint64_t) + 2 * key.size() + sizeof(Entry) + 128);
  const std::lock_guard<std::mutex> lock(mutex_);
  ++stats_.misses;
  if (by_key_.contains(key) || bytes > max_bytes_) return mask;
  entries_.push_front({key, mask, bytes});
  by_key_.emplace(std::move(key), entries_.begin());
  stats_.bytes += bytes;
  while (stats_.bytes > max_bytes_) {
    stats_.bytes -= entries_.back().bytes;
    by_key_.erase(entries_.back().key);
    entries_.pop_back();
  }
  stats_.entries = static_cast<int64_t>(entries_.size());
  return mask;
}

MaskCacheStats MaskCache::stats() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return stats_;
}

}  // namespace facet
