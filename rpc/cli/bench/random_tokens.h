// Prompts for measurements.
#ifndef FACET_RPC_CLI_BENCH_RANDOM_TOKENS_H_
#define FACET_RPC_CLI_BENCH_RANDOM_TOKENS_H_

#include <algorithm>
#include <cstdint>
#include <random>
#include <vector>

namespace facet {

// `length` ordinary ids drawn from `seed`.
inline std::vector<int32_t> RandomTokens(int64_t length, int64_t vocab_size,
                                         uint64_t seed) {
  // Special tokens and bytes come first in a vocabulary.
  const int64_t first = std::min<int64_t>(300, vocab_size / 2);
  std::mt19937_64 random(seed);
  std::vector<int32_t> tokens(length);
  for (int32_t& id : tokens) {
    id = static_cast<int32_t>(first + random() % (vocab_size - first));
  }
  return tokens;
}

}  // namespace facet

#endif  // FACET_RPC_CLI_BENCH_RANDOM_TOKENS_H_
