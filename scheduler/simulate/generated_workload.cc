#include "scheduler/simulate/generated_workload.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "scheduler/simulate/random.h"

namespace facet {
namespace {

// What is left of a context that many turns have filled is a matter of the
// server; a conversation ends before.
constexpr int kMostTurns = 32;

struct LengthMixture {
  double first_share;
  double first_median, first_sigma;
  double second_median, second_sigma;
};

constexpr LengthMixture kPrompt = {0.7, 30, 1.0, 255, 1.0};
constexpr LengthMixture kAnswer = {0.7, 355, 0.7, 40, 1.0};

int64_t Draw(const LengthMixture& mixture, double scale, int64_t most,
             Random* random) {
  const bool first = random->Chance(mixture.first_share);
  const double tokens =
      first ? random->LogNormal(mixture.first_median, mixture.first_sigma)
            : random->LogNormal(mixture.second_median, mixture.second_sigma);
  return std::clamp<int64_t>(std::llround(scale * tokens), 1, most);
}

void AddConversation(const WorkloadShape& shape, double arrival_s, int number,
                     Random* random, Workload* workload) {
  SimRequest turn;
  turn.arrival_s = arrival_s;
  turn.prompt_tokens = 0;
  if (shape.system_prompts > 0) {
    turn.prefix =
        absl::StrCat("system-", random->Between(1, shape.system_prompts));
    turn.prefix_tokens = shape.system_prompt_tokens;
    turn.prompt_tokens = turn.prefix_tokens;
  }
  turn.max_tokens = shape.most_output_tokens;
  turn.samples = shape.samples;
  turn.deadline_s = shape.deadline_s;
  for (int i = 0; i < kMostTurns; ++i) {
    turn.prompt_tokens +=
        Draw(kPrompt, shape.length_scale, shape.most_prompt_tokens, random);
    turn.output_tokens =
        Draw(kAnswer, shape.length_scale, shape.most_output_tokens, random);
    turn.cancel_after_s = random->Chance(shape.cancelled)
                              ? random->Exponential(shape.cancel_after_s)
                              : kNever;
    const bool more = shape.next_turn > 0 && random->Chance(shape.next_turn);
    if (more || i > 0) turn.conversation = absl::StrCat("chat-", number);
    workload->requests.push_back(turn);
    if (!more) return;
    turn.prompt_tokens += turn.output_tokens;
    turn.think_s = random->Exponential(shape.think_s);
  }
}

}  // namespace

Workload GenerateWorkload(const WorkloadShape& shape) {
  Workload workload;
  Random random(shape.seed);
  int number = 0;
  for (double t = random.Exponential(1 / shape.rate); t < shape.duration_s;
       t += random.Exponential(1 / shape.rate)) {
    AddConversation(shape, t, ++number, &random, &workload);
  }
  if (shape.failure_every_s > 0) {
    // A stream of their own: failures leave the requests as they are.
    Random failures(ScrambleBits(shape.seed));
    for (double t = failures.Exponential(shape.failure_every_s);
         t < shape.duration_s;
         t += failures.Exponential(shape.failure_every_s)) {
      workload.failures.push_back({t, shape.recovery_s});
    }
  }
  return workload;
}

}  // namespace facet
