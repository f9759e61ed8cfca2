// What users ask while workers fall: requests of every kind whose answers carry
// state from token to token, each with one right answer.
#ifndef FACET_TESTS_CHAOS_CHAOS_REQUESTS_H_
#define FACET_TESTS_CHAOS_CHAOS_REQUESTS_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "rpc/client/client.h"

namespace facet {

// All that one request brought, by answer.
struct ChaosOutcome {
  struct Answer {
    std::vector<int32_t> tokens;
    std::vector<float> logprobs;
    std::string text;
    FinishReason finish = FinishReason::kNone;
  };
  std::vector<Answer> answers;
};

// Sampled and greedy ones, long and short, under a grammar, with penalties,
// stop strings, several answers and beginnings in common.
std::vector<TextRequest> ChaosRequests(int count, int max_tokens);

// Runs one request; `on_event` hears of each of its events. Errors: the
// request's own.
absl::StatusOr<ChaosOutcome> RunRequest(Client& client,
                                        const TextRequest& request,
                                        const std::function<void()>& on_event);

// "" where both are the same to the last bit, else what differs first.
std::string Difference(const ChaosOutcome& expected, const ChaosOutcome& found);

}  // namespace facet

#endif  // FACET_TESTS_CHAOS_CHAOS_REQUESTS_H_
