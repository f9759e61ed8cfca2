// Sends requests to a model as its users would, in a closed loop (each user
// asks again once answered) or an open one (users come when they come), and
// takes down what they see in a window of time. The window begins when the load
// is in full swing and ends before it ebbs away, so neither weighs on rates.
#ifndef FACET_RPC_CLI_BENCH_SERVING_RUN_LOAD_H_
#define FACET_RPC_CLI_BENCH_SERVING_RUN_LOAD_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "rpc/cli/bench/serving/step_recorder.h"
#include "rpc/client/client.h"

namespace facet {

struct LoadShape {
  int concurrency = 0;  // closed loop: requests at any time
  double rate = 0;      // open loop: Poisson arrivals a second
  absl::Duration window = absl::Seconds(20);
  double length_scale = 1;
  uint64_t seed = 1;
  int64_t vocab_size = 0;

  bool closed() const { return concurrency > 0; }
};

// What clients saw in the window.
struct LoadResult {
  SteadyClock::time_point begin;
  SteadyClock::time_point end;
  int64_t requests = 0;               // that ended
  int64_t output_tokens = 0;          // that came
  int64_t prompt_tokens = 0;          // of requests whose first token came
  std::vector<double> first_token_s;  // of those, since they were sent
  // Between tokens of an answer. Tokens that come together share their wait.
  std::vector<double> next_token_s;
  std::vector<double> end_to_end_s;  // of those that ended

  double seconds() const {
    return std::chrono::duration<double>(end - begin).count();
  }
};

// Prompts are random tokens that no two requests share; answers have exactly
// the tokens that their request asks for. In a closed loop the window begins
// when as many requests have ended as run at once, or after twice its length,
// and gets up to half a minute longer where fewer end in it than run at once;
// in an open one it begins after half its length. What runs at its end is cancelled, and
// nothing runs on return.
//
// REQUIRES: a concurrency or a rate.
//
// Errors: RESOURCE_EXHAUSTED when an open loop has more than 512 requests
// unanswered; those of Client::Generate().
absl::StatusOr<LoadResult> RunLoad(Client* client, const LoadShape& shape);

// Sends `prompt`, waits for `answer_tokens` and returns the seconds to the
// first; `cached`, where it is not null, gets the prompt tokens that the server
// had already.
absl::StatusOr<double> TimeFirstToken(Client* client,
                                      std::vector<int32_t> prompt,
                                      int64_t answer_tokens, int64_t* cached);

}  // namespace facet

#endif  // FACET_RPC_CLI_BENCH_SERVING_RUN_LOAD_H_
