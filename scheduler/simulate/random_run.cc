#include "scheduler/simulate/random_run.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/node_hash_map.h"
#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "kernels/base/status_macros.h"
#include "runtime/executor/fake_executor.h"
#include "scheduler/simulate/plan_audit.h"
#include "scheduler/simulate/random.h"

namespace facet {
namespace {

constexpr int64_t kVocab = 97;
constexpr int64_t kMaskWords = (kVocab + 63) / 64;

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

// What `request` draws behind `tokens` when it has the model to itself.
int32_t TokenBehind(const SequenceRequest& request,
                    absl::Span<const int32_t> tokens) {
  const auto answered =
      static_cast<int64_t>(tokens.size() - request.prompt.size());
  const bool early = answered < request.min_tokens;
  if (!request.masked && !early) {
    return FakeExecutor::NextToken(tokens, kVocab, nullptr, request.logit_bias);
  }
  TokenMask mask =
      request.masked ? MaskBehind(tokens) : TokenMask(kMaskWords, ~uint64_t{0});
  for (const int32_t id : request.stop_ids) {
    if (early && id < kVocab) mask[id / 64] &= ~(uint64_t{1} << (id % 64));
  }
  return FakeExecutor::NextToken(tokens, kVocab, &mask, request.logit_bias);
}

SchedulerLimits RandomLimits(int stages, Random* random) {
  SchedulerLimits limits;
  limits.vocab_size = kVocab;
  limits.pools.page_tokens = static_cast<int>(random->Between(1, 8));
  limits.pools.sliding_pages = static_cast<int32_t>(random->Between(2, 40));
  limits.pools.global_pages = static_cast<int32_t>(random->Between(2, 40));
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
  const int64_t count = random->Between(1, random->Chance(0.2) ? 24 : 8);
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

// A client of every sequence, an auditor of every plan.
class Checker : public SimulationObserver {
 public:
  Checker(const SchedulerLimits& limits, const Tampering& tampering)
      : limits_(limits),
        tampering_(tampering),
        most_positions_(Scheduler(limits).MostPositions()),
        audit_(limits, TokenBehind) {}

  absl::Status OnAdd(const SimSequence& sequence,
                     const SequenceRequest& request) override;
  absl::Status OnCancel(const SimSequence& sequence) override;
  absl::Status OnMask(const SimSequence& sequence,
                      std::shared_ptr<const TokenMask> mask) override;
  absl::Status OnPlan(StepPlan* plan, const Scheduler& scheduler) override;
  absl::Status OnResult(StepResult* result) override;
  absl::Status OnUpdate(const SimSequence& sequence,
                        const SequenceUpdate& update) override;
  absl::Status OnRestart() override;
  absl::Status AfterEvents(double now_s, const Scheduler& scheduler) override;

  absl::Status AtTheEnd() const;
  const RunFacts& facts() const { return facts_; }

 private:
  struct Order {
    int64_t rank = 0;
    int64_t arrival = 0;
    bool operator<(const Order& other) const {
      return std::tie(rank, arrival) < std::tie(other.rank, other.arrival);
    }
  };
  struct Client {
    SequenceId id;
    SequenceRequest request;
    Order order;
    int64_t most_tokens = 0;  // of its answer
    int64_t answered = 0;
    int64_t logprobs = 0;
    int64_t rows = 0;
    int64_t mask_length = -1;  // tokens that its latest mask follows
    bool begun = false;        // at any time
    bool ended = false;
    int64_t prompt() const {
      return static_cast<int64_t>(request.prompt.size());
    }
    // Positions it has to compute in all.
    int64_t positions() const {
      return prompt() + std::max<int64_t>(most_tokens - 1, 0);
    }
  };

  absl::Status CheckPromptRows(const SimSequence& sequence,
                               const SequenceUpdate& update, Client* client);
  absl::Status CheckToken(const SimSequence& sequence,
                          const SampledToken& token, Client* client);
  absl::Status CheckEnd(const SimSequence& sequence,
                        const SequenceUpdate& update, Client* client);
  absl::Status CheckOrder(const StepPlan& plan, const Scheduler& scheduler);
  absl::Status CheckFirstGoesOn(const StepPlan& plan);
  // Whether a slice of it could be planned.
  bool CouldGoOn(const Client& client) const;
  void End(Client* client);

  const SchedulerLimits limits_;
  const Tampering tampering_;
  const int64_t most_positions_;
  PlanAudit audit_;
  absl::node_hash_map<SequenceId, Client> clients_;
  absl::btree_map<Order, Client*> live_;
  int64_t arrivals_ = 0;

  SequenceId first_;         // in order
  int64_t first_waits_ = 0;  // steps that it has not begun
  int64_t first_may_wait_ = 0;
  int64_t first_pauses_ = 0;  // steps since its last slice

  RunFacts facts_;
};

template <typename... Parts>
absl::Status Wrong(SequenceId id, const Parts&... parts) {
  return absl::InternalError(
      absl::StrCat("sequence ", id.value, ": ", parts...));
}

absl::Status Checker::OnAdd(const SimSequence& sequence,
                            const SequenceRequest& request) {
  Client& client = clients_[sequence.id];
  client.id = sequence.id;
  client.request = request;
  client.order.arrival = arrivals_++;
  client.order.rank = client.order.arrival + kPriorityStride * request.priority;
  client.most_tokens =
      request.prompt_logits
          ? 0
          : std::min(request.max_tokens, most_positions_ - client.prompt() + 1);
  live_.emplace(client.order, &client);
  audit_.Add(sequence.id, request, sequence.request);
  ++facts_.sequences;
  return absl::OkStatus();
}

void Checker::End(Client* client) {
  client->ended = true;
  live_.erase(client->order);
  audit_.End(client->id);
}

absl::Status Checker::OnCancel(const SimSequence& sequence) {
  Client& client = clients_.at(sequence.id);
  if (client.ended) return Wrong(sequence.id, "cancelled after its end");
  End(&client);
  return absl::OkStatus();
}

absl::Status Checker::OnMask(const SimSequence& sequence,
                             std::shared_ptr<const TokenMask> mask) {
  Client& client = clients_.at(sequence.id);
  client.mask_length = client.prompt() + client.answered;
  audit_.SetMask(sequence.id, std::move(mask), client.mask_length);
  return absl::OkStatus();
}

absl::Status Checker::OnResult(StepResult* result) {
  if (tampering_.result) tampering_.result(result);
  audit_.Applied(result->step);
  return absl::OkStatus();
}

absl::Status Checker::OnRestart() {
  audit_.Restart();
  first_ = SequenceId();
  return absl::OkStatus();
}

absl::Status Checker::CheckPromptRows(const SimSequence& sequence,
                                      const SequenceUpdate& update,
                                      Client* client) {
  const absl::Span<const int32_t> prompt = client->request.prompt;
  for (const PromptLogprob& logprob : update.prompt_logprobs) {
    const int64_t position = ++client->logprobs;
    if (logprob.position != position || position >= client->prompt()) {
      return Wrong(sequence.id, "log-probability of position ",
                   logprob.position, " in place of ", position);
    }
    const float expected =
        FakeExecutor::Logprob(prompt.subspan(0, position), prompt[position]);
    if (logprob.logprob != expected || static_cast<int>(logprob.top.size()) !=
                                           client->request.prompt_logprobs) {
      return Wrong(sequence.id, "wrong log-probability of position ", position);
    }
    ++facts_.prompt_logprobs;
  }
  for (const LogitsBlock& block : update.logits) {
    if (block.first_position != client->rows || block.vocab_begin != 0 ||
        block.vocab_end != kVocab) {
      return Wrong(sequence.id, "logits of position ", block.first_position,
                   " in place of ", client->rows);
    }
    client->rows += block.rows;
    facts_.logits_rows += block.rows;
    const int64_t last = block.rows - 1;
    if (client->rows > client->prompt() ||
        block.values[last * kVocab + 3] !=
            FakeExecutor::Logit(prompt.subspan(0, client->rows), 3, kVocab)) {
      return Wrong(sequence.id, "wrong logits of position ", client->rows - 1);
    }
  }
  return absl::OkStatus();
}

absl::Status Checker::CheckToken(const SimSequence& sequence,
                                 const SampledToken& token, Client* client) {
  const int64_t position = client->prompt() + client->answered++;
  const int32_t expected = audit_.Token(sequence.id, position);
  if (token.token != expected) {
    return Wrong(sequence.id, "token ", position, " is ", token.token, ", not ",
                 expected);
  }
  if (client->answered > client->most_tokens) {
    return Wrong(sequence.id, "more tokens than the ", client->most_tokens,
                 " it may have");
  }
  std::vector<int32_t> before = sequence.prompt;
  before.insert(before.end(), sequence.answer.begin(),
                sequence.answer.end() - 1);
  const SamplingParams& sampling = client->request.sampling;
  if (sampling.logprob &&
      token.logprob != FakeExecutor::Logprob(before, token.token)) {
    return Wrong(sequence.id, "wrong log-probability of token ", position);
  }
  if (static_cast<int>(token.top.size()) != sampling.top_logprobs) {
    return Wrong(sequence.id, token.top.size(), " top log-probabilities");
  }
  if (client->request.masked) ++facts_.masked_tokens;
  return absl::OkStatus();
}

absl::Status Checker::CheckEnd(const SimSequence& sequence,
                               const SequenceUpdate& update, Client* client) {
  const std::vector<int32_t>& stop_ids = client->request.stop_ids;
  const bool stopped =
      update.token.has_value() &&
      std::count(stop_ids.begin(), stop_ids.end(), update.token->token) > 0;
  const bool computed =
      update.token.has_value() || update.end != SequenceEnd::kNotYet;
  // The whole prompt has been told before its end, or the first token.
  if (computed && client->request.prompt_logprobs >= 0 &&
      client->logprobs != client->prompt() - 1) {
    return Wrong(sequence.id, client->logprobs, " log-probabilities of a ",
                 "prompt of ", client->prompt());
  }
  SequenceEnd end = SequenceEnd::kNotYet;
  if (stopped) {
    end = SequenceEnd::kStop;
    ++facts_.stopped;
  } else if (client->most_tokens > 0) {
    if (client->answered == client->most_tokens) end = SequenceEnd::kLength;
  } else if (update.end == SequenceEnd::kLength) {
    end = SequenceEnd::kLength;  // of the prompt; all rows are there
    if (client->request.prompt_logits && client->rows != client->prompt()) {
      return Wrong(sequence.id, client->rows, " rows of logits of a prompt of ",
                   client->prompt());
    }
  }
  if (update.end != end) {
    return Wrong(sequence.id, "ends as ", static_cast<int>(update.end),
                 " behind ", client->answered, " tokens, expected ",
                 static_cast<int>(end));
  }
  if (end != SequenceEnd::kNotYet) End(client);
  return absl::OkStatus();
}

absl::Status Checker::OnUpdate(const SimSequence& sequence,
                               const SequenceUpdate& update) {
  Client& client = clients_.at(sequence.id);
  if (client.ended) return Wrong(sequence.id, "an update after its end");
  FACET_RETURN_IF_ERROR(CheckPromptRows(sequence, update, &client));
  if (update.token.has_value()) {
    FACET_RETURN_IF_ERROR(CheckToken(sequence, *update.token, &client));
  }
  return CheckEnd(sequence, update, &client);
}

bool Checker::CouldGoOn(const Client& client) const {
  const int64_t computed = audit_.computed(client.id);
  if (computed >= client.positions()) return false;
  if (!client.request.masked || client.most_tokens == 0) return true;
  const int64_t known = client.prompt() + client.answered;
  return computed + 1 < known ||
         (computed < known && client.mask_length == known);
}

// Whoever was there before a sequence that begins, and comes before it, has
// been admitted, if not begun.
absl::Status Checker::CheckOrder(const StepPlan& plan,
                                 const Scheduler& scheduler) {
  const Client* last = nullptr;
  for (const SequenceSlice& slice : plan.slices) {
    Client& client = clients_.at(slice.sequence);
    if (client.begun) continue;
    client.begun = true;
    if (last == nullptr || last->order < client.order) last = &client;
  }
  if (last == nullptr) return absl::OkStatus();
  int passed = 0;
  for (const auto& [order, client] : live_) {
    if (!(order < last->order)) break;
    // A further sample may have been held when the others were admitted.
    if (!client->begun && order.arrival < last->order.arrival &&
        !client->request.sibling.has_value()) {
      ++passed;
    }
  }
  if (scheduler.running() < audit_.tables() + passed) {
    return Wrong(last->id, "begins before others that come before it: ",
                 scheduler.running(), " run, ", audit_.tables(),
                 " have begun, ", passed, " wait in front of it");
  }
  return absl::OkStatus();
}

absl::Status Checker::CheckFirstGoesOn(const StepPlan& plan) {
  if (plan.slices.empty() || live_.empty()) return absl::OkStatus();
  const Client& first = *live_.begin()->second;
  if (!(first.id == first_)) {
    first_ = first.id;
    first_waits_ = first_pauses_ = 0;
    // Each step brings one of the others a token further, and while this one
    // waits, no other begins but those that are admitted.
    first_may_wait_ = 2;
    for (const auto& [order, client] : live_) {
      if (client != &first) {
        first_may_wait_ += client->positions() - audit_.computed(client->id);
      }
    }
  }
  if (!audit_.has_table(first.id)) {
    if (++first_waits_ <= first_may_wait_) return absl::OkStatus();
    return Wrong(first.id, "is the first and has not begun after ",
                 first_waits_, " steps");
  }
  const bool goes_on = std::any_of(
      plan.slices.begin(), plan.slices.end(),
      [&](const SequenceSlice& slice) { return slice.sequence == first.id; });
  if (goes_on || !CouldGoOn(first)) {
    first_pauses_ = 0;
    return absl::OkStatus();
  }
  // Its micro-batch may wait for each masked one in it.
  const int64_t most = int64_t{1 + limits_.max_sequences} *
                       (limits_.micro_batches + limits_.max_unapplied);
  if (++first_pauses_ <= most) return absl::OkStatus();
  return Wrong(first.id, "is the first and was not in ", first_pauses_,
               " steps");
}

absl::Status Checker::OnPlan(StepPlan* plan, const Scheduler& scheduler) {
  if (tampering_.plan) tampering_.plan(plan);
  FACET_RETURN_IF_ERROR(audit_.Plan(*plan));
  for (const SequenceSlice& slice : plan->slices) {
    if (slice.tokens.front() == kSampledToken) ++facts_.placeholders;
  }
  ++facts_.steps;
  FACET_RETURN_IF_ERROR(CheckOrder(*plan, scheduler));
  return CheckFirstGoesOn(*plan);
}

absl::Status Checker::AfterEvents(double, const Scheduler& scheduler) {
  const SchedulerStats stats = scheduler.stats();
  const auto adds_up = [](const PoolUse& use, int32_t pages) {
    return use.held >= 0 && use.cached >= 0 && use.blank >= 0 &&
           use.held + use.cached + use.blank == pages;
  };
  if (!adds_up(stats.sliding, limits_.pools.sliding_pages) ||
      !adds_up(stats.global, limits_.pools.global_pages)) {
    return absl::InternalError("the pages of a pool do not add up");
  }
  const auto live = static_cast<int64_t>(live_.size());
  const auto known = std::count_if(
      live_.begin(), live_.end(),
      [&](const auto& entry) { return audit_.has_table(entry.second->id); });
  if (scheduler.waiting() + scheduler.running() != live ||
      scheduler.running() > limits_.max_sequences ||
      scheduler.unapplied() > limits_.max_unapplied) {
    return absl::InternalError(absl::StrCat(
        scheduler.waiting(), " wait, ", scheduler.running(), " run, ", live,
        " have not ended, ", scheduler.unapplied(), " steps are not applied"));
  }
  // Where the workers know exactly those that run, they know of every page.
  if (scheduler.waiting() == 0 && known == live && audit_.tables() == live &&
      (stats.sliding.held != audit_.sliding_pages() ||
       stats.global.held != audit_.global_pages())) {
    return absl::InternalError(
        absl::StrCat("held are ", stats.sliding.held, " sliding and ",
                     stats.global.held, " global pages, workers have ",
                     audit_.sliding_pages(), " and ", audit_.global_pages()));
  }
  return absl::OkStatus();
}

absl::Status Checker::AtTheEnd() const {
  for (const auto& [id, client] : clients_) {
    if (!client.ended) return Wrong(id, "never ended");
  }
  if (audit_.tables() > 0) {
    return absl::InternalError("workers keep tables at the end");
  }
  return absl::OkStatus();
}

}  // namespace

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

absl::StatusOr<RunFacts> CheckRandomRun(uint64_t seed,
                                        const Tampering& tampering) {
  const SimulationOptions options = RandomOptions(seed);
  Checker checker(options.limits, tampering);
  FACET_ASSIGN_OR_RETURN(const SimulationReport report,
                         Simulate(options, &checker));
  FACET_RETURN_IF_ERROR(checker.AtTheEnd());
  if (report.completed + report.cancelled + report.expired + report.refused +
          report.turned_away !=
      report.requests) {
    return absl::InternalError("requests do not add up");
  }
  RunFacts facts = checker.facts();
  facts.runs = 1;
  facts.preemptions = report.preemptions;
  facts.prefix_hits = report.prefix_hits;
  facts.failures = report.failures;
  facts.cancelled = report.cancelled + report.expired;
  return facts;
}

RunFacts& RunFacts::operator+=(const RunFacts& other) {
  runs += other.runs;
  sequences += other.sequences;
  steps += other.steps;
  preemptions += other.preemptions;
  prefix_hits += other.prefix_hits;
  failures += other.failures;
  cancelled += other.cancelled;
  stopped += other.stopped;
  placeholders += other.placeholders;
  masked_tokens += other.masked_tokens;
  prompt_logprobs += other.prompt_logprobs;
  logits_rows += other.logits_rows;
  return *this;
}

std::string HowToRepeat(uint64_t seed) {
  return absl::StrCat("bazel run //scheduler:simulate -- --check --seed=",
                      seed);
}

}  // namespace facet
