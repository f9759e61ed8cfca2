#include "scheduler/simulate/random_options.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "runtime/executor/fake_executor.h"
#include "scheduler/simulate/random.h"

namespace facet {
namespace {

constexpr int64_t kMaskWords = (kRandomRunVocab + 63) / 64;

// What a grammar would allow behind `tokens`: about half of the vocabulary, and
// always more tokens than a request has stop ids.
TokenMask MaskBehind(absl::Span<const int32_t> tokens) {
  uint64_t bits = 7;
  for (const int32_t token : tokens) {
    bits = ScrambleBits(bits ^ static_cast<uint64_t>(token));
  }
  TokenMask mask(kMaskWords);
  for (uint64_t& word : mask) {
    bits = ScrambleBits(bits);
    word = bits | uint64_t{0x0101010101010101} << (bits % 8);
  }
  return mask;
}

SchedulerLimits RandomLimits(int stages, Random* random) {
  SchedulerLimits limits;
  limits.vocab_size = kRandomRunVocab;
  limits.pools.page_tokens = static_cast<int>(random->Between(1, 8));
  const int64_t most_pages = random->Chance(0.1) ? 200 : 40;
  limits.pools.sliding_pages =
      static_cast<int32_t>(random->Between(2, most_pages));
  limits.pools.global_pages =
      static_cast<int32_t>(random->Between(2, most_pages));
  limits.sliding_window = static_cast<int>(random->Between(1, 24));
  limits.max_positions = random->Between(20, 120);
  limits.max_step_tokens = static_cast<int>(random->Between(1, 32));
  limits.max_sequences = static_cast<int>(random->Between(1, 8));
  limits.max_logits_rows = static_cast<int>(random->Between(1, 8));
  limits.micro_batches = static_cast<int>(random->Between(1, 3));
  limits.max_unapplied = static_cast<int>(random->Between(1, stages + 1));
  limits.prefix_cache = random->Chance(0.8);
  return limits;
}

// Moments that coincide, moments far apart.
double RandomMoment(double until_s, Random* random) {
  const double moment = random->Uniform() * until_s;
  return random->Chance(0.5) ? std::floor(moment) : moment;
}

Workload RandomWorkload(int64_t most_positions, Random* random) {
  Workload workload;
  const double span_s = random->Chance(0.3) ? 0 : random->Uniform() * 200;
  const int64_t longest = std::clamp<int64_t>(most_positions, 1, 60);
  const bool cancels = random->Chance(0.4);
  const bool priorities = random->Chance(0.4);
  const double crowd = random->Uniform();
  const int64_t count = random->Between(1, crowd < 0.01  ? 150
                                           : crowd < 0.2 ? 24
                                                         : 8);
  for (int64_t i = 0; i < count; ++i) {
    SimRequest request;
    request.arrival_s = RandomMoment(span_s, random);
    request.prompt_tokens = random->Between(1, longest);
    request.output_tokens = random->Between(1, 30);
    request.max_tokens =
        random->Chance(0.5) ? 0 : request.output_tokens + random->Between(0, 9);
    if (priorities) request.priority = static_cast<int>(random->Between(-1, 1));
    if (random->Chance(0.2)) {
      request.samples = static_cast<int>(random->Between(2, 4));
    }
    if (random->Chance(0.6)) {
      request.prefix = absl::StrCat("prefix ", random->Between(1, 3));
      request.prefix_tokens = random->Between(0, longest);
    }
    if (random->Chance(0.2)) {
      request.conversation = absl::StrCat("chat ", random->Between(1, 2));
      request.think_s = RandomMoment(20, random);
    }
    if (cancels && random->Chance(0.4)) {
      request.cancel_after_s = RandomMoment(50, random);
    }
    if (cancels && random->Chance(0.2)) {
      request.deadline_s = RandomMoment(100, random);
    }
    workload.requests.push_back(std::move(request));
  }
  if (random->Chance(0.25)) {
    const int64_t failures = random->Between(1, 3);
    for (int64_t i = 0; i < failures; ++i) {
      workload.failures.push_back(
          {RandomMoment(span_s + 50, random), RandomMoment(20, random)});
    }
  }
  return workload;
}

// Of one sample: equal for all samples where their prompts' pages depend on it.
void AskForMore(uint64_t seed, const SimSequence& sequence,
                SequenceRequest* request) {
  Random of_request(seed ^ ScrambleBits(sequence.request));
  if (of_request.Chance(0.1)) request->cache_salt.push_back('a');
  const bool scored = of_request.Chance(0.1);
  const int logprobs = static_cast<int>(of_request.Between(0, 2));
  request->masked = of_request.Chance(0.15);
  if (of_request.Chance(0.3)) {
    // The last cannot be drawn; some checkpoints name such ids.
    request->stop_ids = {static_cast<int32_t>(of_request.Between(0, 96)),
                         static_cast<int32_t>(of_request.Between(0, 96)), 200};
    request->min_tokens = of_request.Between(0, request->max_tokens);
  }
  if (of_request.Chance(0.2)) request->sampling.repetition_penalty = 1.1f;

  Random of_sample(seed ^ ScrambleBits(sequence.id.value + 1000));
  request->sampling.logprob = of_sample.Chance(0.5);
  request->sampling.top_logprobs = static_cast<int>(of_sample.Between(0, 2));
  if (of_sample.Chance(0.3)) {
    request->logit_bias = {
        {static_cast<int32_t>(of_sample.Between(0, 96)), 1.5f}};
  }
  if (scored) request->prompt_logprobs = logprobs;
  if (of_sample.Chance(0.08)) {
    request->prompt_logits = true;
    request->min_tokens = 0;
  } else if (scored && of_sample.Chance(0.3)) {
    request->max_tokens = request->min_tokens = 0;
  }
}

}  // namespace

int32_t RandomRunToken(const SequenceRequest& request,
                       absl::Span<const int32_t> tokens) {
  const auto answered =
      static_cast<int64_t>(tokens.size() - request.prompt.size());
  const bool early = answered < request.min_tokens;
  if (!request.masked && !early) {
    return FakeExecutor::NextToken(tokens, kRandomRunVocab, nullptr,
                                   request.logit_bias);
  }
  TokenMask mask =
      request.masked ? MaskBehind(tokens) : TokenMask(kMaskWords, ~uint64_t{0});
  for (const int32_t id : request.stop_ids) {
    if (!early || id >= kRandomRunVocab) continue;
    mask[id / 64] &= ~(uint64_t{1} << (id % 64));
  }
  return FakeExecutor::NextToken(tokens, kRandomRunVocab, &mask,
                                 request.logit_bias);
}

SimulationOptions RandomOptions(uint64_t seed) {
  Random random(seed);
  SimulationOptions options;
  options.seed = seed;
  options.read_everything = true;
  options.stages = static_cast<int>(random.Between(1, 4));
  options.limits = RandomLimits(options.stages, &random);
  options.machine.bytes_per_s = 1;
  options.machine.flops_per_s = 10;
  options.machine.step_s = random.Chance(0.7) ? 1 : 0.1;
  options.machine.slice_s = random.Chance(0.5) ? 0 : 0.3;
  options.machine.round_trip_s = random.Chance(0.5) ? 0 : random.Uniform() * 3;
  options.model.token_flops = random.Chance(0.5) ? 0 : 5;
  options.mask_s = random.Chance(0.5) ? 0 : random.Uniform() * 5;
  options.workload =
      RandomWorkload(Scheduler(options.limits).MostPositions(), &random);
  options.mask = [](const SimSequence& sequence) {
    std::vector<int32_t> tokens = sequence.prompt;
    tokens.insert(tokens.end(), sequence.answer.begin(), sequence.answer.end());
    return std::make_shared<const TokenMask>(MaskBehind(tokens));
  };
  options.adjust = [seed](const SimSequence& sequence,
                          SequenceRequest* request) {
    AskForMore(seed, sequence, request);
  };
  return options;
}

}  // namespace facet
