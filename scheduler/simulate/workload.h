// What arrives at a simulated server, and what goes wrong there.
#ifndef FACET_SCHEDULER_SIMULATE_WORKLOAD_H_
#define FACET_SCHEDULER_SIMULATE_WORKLOAD_H_

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

namespace facet {

inline constexpr double kNever = std::numeric_limits<double>::infinity();

struct SimRequest {
  double arrival_s = 0;
  // Of the whole prompt. A turn of a conversation has one token at least beside
  // the conversation so far, however little is left here.
  int64_t prompt_tokens = 1;
  // After so many the answer ends, as with a stop string: unforeseen.
  int64_t output_tokens = 1;
  // What the request allows; the scheduler knows of it. 0: output_tokens, so
  // that the end is no surprise.
  int64_t max_tokens = 0;
  int priority = 0;
  int samples = 1;
  // Requests of one name share the first prefix_tokens tokens of their prompts,
  // a system prompt for example. Empty: nothing is shared.
  std::string prefix;
  int64_t prefix_tokens = 0;
  // Requests of one name are turns of one conversation, in the order of the
  // list: a prompt begins with the prompt and the answer of the turn before,
  // and arrives think_s after the end of that at the earliest.
  std::string conversation;
  double think_s = 0;
  // Both since the arrival: the client goes away; the server gives up.
  double cancel_after_s = kNever;
  double deadline_s = kNever;
};

// All workers lose their pages; new ones are ready recovery_s later.
struct SimFailure {
  double at_s = 0;
  double recovery_s = 0;
};

struct Workload {
  std::vector<SimRequest> requests;
  std::vector<SimFailure> failures;
};

}  // namespace facet

#endif  // FACET_SCHEDULER_SIMULATE_WORKLOAD_H_
