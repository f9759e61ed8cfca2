#include "runtime/grammar/token_masks.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "runtime/grammar/readings.h"

namespace facet {
namespace {

// Readings looked at for one mask; ordinary grammars need some thousands.
constexpr int64_t kMaxWork = 4'000'000;

constexpr int32_t kUnknown = -2;
constexpr int32_t kDead = -1;

// Sets of readings met during one walk, numbered, with their transitions as
// they become known: the part of a deterministic automaton that this walk
// needs.
class WalkStates {
 public:
  WalkStates(const Automaton& automaton, StackPool* pool)
      : automaton_(automaton),
        stepper_(automaton, pool),
        classes_(static_cast<int32_t>(automaton.class_byte.size())) {}

  int32_t Intern(Readings readings) {
    if (readings.dead()) return kDead;
    const auto [place, is_new] =
        ids_.try_emplace(std::make_pair(readings.configs, readings.can_end),
                         static_cast<int32_t>(sets_.size()));
    if (is_new) {
      sets_.push_back(std::move(readings.configs));
      next_.resize(next_.size() + classes_, kUnknown);
    }
    return place->second;
  }

  int32_t Next(int32_t state, uint8_t byte) {
    const int32_t byte_class = automaton_.byte_class[byte];
    const size_t place = static_cast<size_t>(state) * classes_ + byte_class;
    int32_t next = next_[place];
    if (next != kUnknown) return next;
    next =
        Intern(stepper_.Step(sets_[state], automaton_.class_byte[byte_class]));
    next_[place] = next;
    return next;
  }

  bool exhausted() const {
    return stepper_.overflow() || stepper_.work() > kMaxWork;
  }

 private:
  const Automaton& automaton_;
  ReadingsStepper stepper_;
  const int32_t classes_;
  absl::flat_hash_map<std::pair<std::vector<Config>, bool>, int32_t> ids_;
  std::vector<std::vector<Config>> sets_;
  std::vector<int32_t> next_;  // [sets, classes]
};

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
    const int32_t state = states.Next(after[node.depth - 1], node.byte);
    if (state == kDead) {
      i = node.end;
      continue;
    }
    if (states.exhausted()) {
      return absl::ResourceExhaustedError(
          "the grammar is too ambiguous to find the tokens that may come next; "
          "rewrite it so that repeated parts cannot match the same text in "
          "several ways");
    }
    after[node.depth] = state;
    for (const int32_t id : trie.TokensAt(i)) allow(id);
    ++i;
  }
  return mask;
}

MaskCache::MaskCache(std::shared_ptr<const TokenTrie> trie, int64_t max_bytes)
    : trie_(std::move(trie)), max_bytes_(max_bytes) {}

absl::StatusOr<std::shared_ptr<const TokenMask>> MaskCache::MaskFor(
    const GrammarMatcher& matcher) {
  std::string key = absl::StrCat(matcher.grammar().id(), ":",
                                 matcher.StateKey(trie_->max_token_bytes()));
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto found = by_key_.find(key);
    if (found != by_key_.end()) {
      ++stats_.hits;
      entries_.splice(entries_.begin(), entries_, found->second);
      return found->second->mask;
    }
    ++stats_.misses;
  }
  FACET_ASSIGN_OR_RETURN(TokenMask computed, ComputeTokenMask(*trie_, matcher));
  auto mask = std::make_shared<const TokenMask>(std::move(computed));
  const int64_t bytes = static_cast<int64_t>(
      mask->size() * sizeof(uint64_t) + 2 * key.size() + sizeof(Entry) + 128);
  const std::lock_guard<std::mutex> lock(mutex_);
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
