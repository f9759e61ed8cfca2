// Which tokens may come next: the trie of all tokens' bytes is walked once
// through the automaton, and the result is kept for the next time any sequence
// is in the same state.
#ifndef FACET_RUNTIME_GRAMMAR_TOKEN_MASKS_H_
#define FACET_RUNTIME_GRAMMAR_TOKEN_MASKS_H_

#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "runtime/grammar/matcher.h"
#include "runtime/grammar/token_trie.h"
#include "runtime/plan/step_plan.h"

namespace facet {

// Whether `mask`, a TokenMask of runtime/plan/step_plan.h, has token `id`.
inline bool Allows(const TokenMask& mask, int32_t id) {
  return mask[id / 64] >> (id % 64) & 1;
}

// The tokens whose bytes `matcher` would accept, and the stop ids exactly when
// matcher.CanEnd(). Never empty as long as the vocabulary has a token for every
// single byte.
//
// Errors: RESOURCE_EXHAUSTED when the grammar is so ambiguous that the walk
// takes more than a fixed amount of work.
absl::StatusOr<TokenMask> ComputeTokenMask(const TokenTrie& trie,
                                           const GrammarMatcher& matcher);

struct MaskCacheStats {
  int64_t hits = 0;
  int64_t misses = 0;
  int64_t entries = 0;
  int64_t bytes = 0;
};

// Masks by state, the least recently used ones leave first. Thread-safe; two
// threads that miss the same state at once both compute it.
class MaskCache {
 public:
  // Keeps at most `max_bytes` of masks and keys.
  MaskCache(std::shared_ptr<const TokenTrie> trie, int64_t max_bytes);

  // ComputeTokenMask(), or what it said the last time.
  absl::StatusOr<std::shared_ptr<const TokenMask>> MaskFor(
      const GrammarMatcher& matcher);

  // The same if it is there already, otherwise null: costs a microsecond.
  std::shared_ptr<const TokenMask> Find(const GrammarMatcher& matcher);

  const TokenTrie& trie() const { return *trie_; }
  MaskCacheStats stats() const;

 private:
  struct Entry {
    std::string key;
    std::shared_ptr<const TokenMask> mask;
    int64_t bytes = 0;
  };

  std::string KeyOf(const GrammarMatcher& matcher) const;
  // Null where it is not there. Counts hits.
  std::shared_ptr<const TokenMask> Lookup(const std::string& key);

  std::shared_ptr<const TokenTrie> trie_;
  const int64_t max_bytes_;
  mutable std::mutex mutex_;
  std::list<Entry> entries_;  // most recently used first
  absl::flat_hash_map<std::string, std::list<Entry>::iterator> by_key_;
  MaskCacheStats stats_;
};

}  // namespace facet

#endif  // FACET_RUNTIME_GRAMMAR_TOKEN_MASKS_H_
