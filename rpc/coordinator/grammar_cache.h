// Compiled grammars of recent requests: programs that ask for structured output
// send the same schema again and again.
#ifndef FACET_RPC_COORDINATOR_GRAMMAR_CACHE_H_
#define FACET_RPC_COORDINATOR_GRAMMAR_CACHE_H_

#include <cstdint>
#include <list>
#include <mutex>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "rpc/convert/text_messages.h"
#include "runtime/grammar/grammar.h"

namespace facet {

// Thread-safe. Two threads that ask for the same new format at once may both
// compile it.
class GrammarCache {
 public:
  // Keeps at most `max_bytes` of grammars and sources, the most recently used.
  explicit GrammarCache(int64_t max_bytes) : max_bytes_(max_bytes) {}

  // The grammar of `format`; null for kFree.
  //
  // Errors: those of the grammar's compiler, named after the field.
  absl::StatusOr<GrammarPtr> Get(const OutputFormat& format);

 private:
  struct Entry {
    std::string key;
    GrammarPtr grammar;
    int64_t bytes = 0;
  };

  const int64_t max_bytes_;
  std::mutex mutex_;
  std::list<Entry> entries_;  // most recently used first
  absl::flat_hash_map<std::string, std::list<Entry>::iterator> by_key_;
  int64_t bytes_ = 0;
};

}  // namespace facet

#endif  // FACET_RPC_COORDINATOR_GRAMMAR_CACHE_H_
