#include "scheduler/simulate/run_checker.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "kernels/base/status_macros.h"
#include "runtime/executor/fake_executor.h"

namespace facet {
namespace {

template <typename... Parts>
absl::Status Wrong(SequenceId id, const Parts&... parts) {
  return absl::InternalError(
      absl::StrCat("sequence ", id.value, ": ", parts...));
}

}  // namespace

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

absl::Status RunChecker::OnAdd(const SimSequence& sequence,
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

void RunChecker::End(Client* client) {
  client->ended = true;
  live_.erase(client->order);
  audit_.End(client->id);
}

absl::Status RunChecker::OnCancel(const SimSequence& sequence) {
  Client& client = clients_.at(sequence.id);
  if (client.ended) return Wrong(sequence.id, "cancelled after its end");
  End(&client);
  return absl::OkStatus();
}

absl::Status RunChecker::OnMask(const SimSequence& sequence,
                                std::shared_ptr<const TokenMask> mask) {
  Client& client = clients_.at(sequence.id);
  client.mask_length = client.prompt() + client.answered;
  audit_.SetMask(sequence.id, std::move(mask), client.mask_length);
  return absl::OkStatus();
}

absl::Status RunChecker::OnResult(StepResult* result) {
  if (tampering_.result) tampering_.result(result);
  audit_.Applied(result->step);
  return absl::OkStatus();
}

absl::Status RunChecker::OnRestart() {
  audit_.Restart();
  first_ = SequenceId();
  return absl::OkStatus();
}

absl::Status RunChecker::CheckPromptRows(const SimSequence& sequence,
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
        block.vocab_end != kRandomRunVocab) {
      return Wrong(sequence.id, "logits of position ", block.first_position,
                   " in place of ", client->rows);
    }
    client->rows += block.rows;
    facts_.logits_rows += block.rows;
    const int64_t last = block.rows - 1;
    if (client->rows > client->prompt() ||
        block.values[last * kRandomRunVocab + 3] !=
            FakeExecutor::Logit(prompt.subspan(0, client->rows), 3,
                                kRandomRunVocab)) {
      return Wrong(sequence.id, "wrong logits of position ", client->rows - 1);
    }
  }
  return absl::OkStatus();
}

absl::Status RunChecker::CheckToken(const SimSequence& sequence,
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

absl::Status RunChecker::CheckEnd(const SimSequence& sequence,
                                  const SequenceUpdate& update,
                                  Client* client) {
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

absl::Status RunChecker::OnUpdate(const SimSequence& sequence,
                                  const SequenceUpdate& update) {
  Client& client = clients_.at(sequence.id);
  if (client.ended) return Wrong(sequence.id, "an update after its end");
  FACET_RETURN_IF_ERROR(CheckPromptRows(sequence, update, &client));
  if (update.token.has_value()) {
    FACET_RETURN_IF_ERROR(CheckToken(sequence, *update.token, &client));
  }
  return CheckEnd(sequence, update, &client);
}

bool RunChecker::CouldGoOn(const Client& client) const {
  const int64_t computed = audit_.computed(client.id);
  if (computed >= client.positions()) return false;
  if (!client.request.masked || client.most_tokens == 0) return true;
  const int64_t known = client.prompt() + client.answered;
  return computed + 1 < known ||
         (computed < known && client.mask_length == known);
}

// Whoever was there before a sequence that begins, and is as urgent, has been
// admitted, if not begun.
absl::Status RunChecker::CheckOrder(const StepPlan& plan,
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
        client->request.priority <= last->request.priority &&
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

absl::Status RunChecker::CheckFirstGoesOn(const StepPlan& plan) {
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

absl::Status RunChecker::OnPlan(StepPlan* plan, const Scheduler& scheduler) {
  if (tampering_.plan) tampering_.plan(plan);
  FACET_RETURN_IF_ERROR(audit_.Plan(*plan));
  for (const SequenceSlice& slice : plan->slices) {
    if (slice.tokens.front() == kSampledToken) ++facts_.placeholders;
  }
  ++facts_.steps;
  FACET_RETURN_IF_ERROR(CheckOrder(*plan, scheduler));
  return CheckFirstGoesOn(*plan);
}

absl::Status RunChecker::AfterEvents(double, const Scheduler& scheduler) {
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

absl::Status RunChecker::AtTheEnd() const {
  for (const auto& [id, client] : clients_) {
    if (!client.ended) return Wrong(id, "never ended");
  }
  if (audit_.tables() > 0) {
    return absl::InternalError("workers keep tables at the end");
  }
  return absl::OkStatus();
}

}  // namespace facet
