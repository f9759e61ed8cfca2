#include "rpc/coordinator/live_request.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "kernels/base/check.h"
#include "kernels/base/status_macros.h"

namespace facet {
namespace {

void Append(GenerateEvent from, GenerateEvent* to) {
  const auto append = [](auto& source, auto& target) {
    std::move(source.begin(), source.end(), std::back_inserter(target));
  };
  append(from.tokens, to->tokens);
  append(from.parts, to->parts);
  append(from.prompt_logprobs, to->prompt_logprobs);
  to->text += from.text;
  to->finish = from.finish;
  to->status = std::move(from.status);
  to->usage = from.usage;
}

}  // namespace

LiveRequest::LiveRequest(GenerateRequest request, Callback callback,
                         const Tokenizer* tokenizer, OutputForms* forms,
                         ServingMetrics* metrics, absl::Time arrival)
    : request_(std::move(request)),
      callback_(std::move(callback)),
      metrics_(metrics),
      arrival_(arrival),
      answers_(std::max(request_.n, request_.best_of)),
      unfinished_(answers()) {
  for (Answer& answer : answers_) {
    if (tokenizer != nullptr && !request_.prompt_logits) {
      answer.stream.emplace(tokenizer, request_.prompt, request_.stop_strings);
    }
    if (masked()) {
      std::optional<ThinkingBudget> budget;
      if (request_.max_thought_tokens >= 0) {
        budget.emplace(tokenizer, request_.prompt, request_.max_thought_tokens);
      }
      answer.form.emplace(forms, request_.grammar, request_.stop_ids,
                          request_.may_think, std::move(budget));
    }
  }
  for (size_t i = 0; i < request_.drawn.size(); ++i) {
    TakeDrawn(answers_[i], request_.drawn[i]);
  }
}

void LiveRequest::TakeDrawn(Answer& answer,
                            const std::vector<int32_t>& tokens) {
  for (const int32_t token : tokens) {
    ++answer.tokens;
    answer.first_token = answer.last_token = arrival_;
    if (!answer.stream.has_value()) continue;
    const PartKind before = answer.stream->kind();
    std::string shown;
    std::vector<AnswerPart> parts;
    answer.stream->Push(token, answer.tokens > request_.min_tokens, &shown,
                        &parts);
    // What breaks the form did not come from it; its next mask says so.
    Follow(answer, token, before).IgnoreError();
  }
}

absl::Status LiveRequest::CheckWith(const Scheduler& scheduler) const {
  const size_t different = std::max<size_t>(1, request_.drawn.size());
  for (size_t i = 0; i < different; ++i) {
    FACET_RETURN_IF_ERROR(scheduler.Check(Sequence(static_cast<int>(i))));
  }
  return absl::OkStatus();
}

SequenceRequest LiveRequest::Sequence(int index) const {
  SequenceRequest sequence;
  sequence.prompt = request_.prompt;
  if (index < static_cast<int>(request_.drawn.size())) {
    sequence.drawn = request_.drawn[index];
  }
  sequence.sampling = request_.sampling;
  sequence.sampling.seed = AnswerSeed(request_.sampling.seed, index);
  sequence.sampling.logprob |= holds();
  sequence.max_tokens = request_.max_tokens;
  sequence.min_tokens = request_.min_tokens;
  sequence.stop_ids = request_.stop_ids;
  sequence.logit_bias = request_.logit_bias;
  sequence.masked = masked();
  sequence.prompt_logprobs = index == 0 ? request_.prompt_logprobs : -1;
  sequence.prompt_logits = request_.prompt_logits;
  sequence.priority = request_.priority;
  sequence.cache_salt = request_.cache_salt;
  return sequence;
}

const OutputForm* LiveRequest::form(int index) const {
  const Answer& answer = answers_[index];
  return answer.form.has_value() ? &*answer.form : nullptr;
}

void LiveRequest::Scheduled(int index, int64_t cached, absl::Time now) {
  if (cached_ >= 0 || index != 0) return;
  cached_ = cached;
  scheduled_ = now;
}

bool LiveRequest::Take(int index, SequenceUpdate update, absl::Time now) {
  Answer& answer = answers_[index];
  if (answer.ended) return true;
  GenerateEvent event;
  event.index = index;
  event.logits = std::move(update.logits);
  event.prompt_logprobs = std::move(update.prompt_logprobs);
  if (update.end == SequenceEnd::kStop) event.finish = FinishReason::kStop;
  if (update.end == SequenceEnd::kLength) event.finish = FinishReason::kLength;

  if (update.token.has_value()) {
    const int32_t token = update.token->token;
    Count(answer, *update.token, now);
    // The stop id is reported as a token and is no part of the text.
    if (answer.stream.has_value() && event.finish != FinishReason::kStop) {
      const PartKind before = answer.stream->kind();
      answer.stream->Push(token, answer.tokens > request_.min_tokens,
                          &event.text, &event.parts);
      const absl::Status followed = Follow(answer, token, before);
      if (!followed.ok()) {
        event.finish = FinishReason::kError;
        event.status = followed;
      } else if (event.finish == FinishReason::kNone && answer.form &&
                 answer.form->finished()) {
        event.finish = FinishReason::kStop;
      }
    }
    event.tokens.push_back(*std::move(update.token));
  }
  if (event.finish != FinishReason::kNone && answer.stream.has_value()) {
    answer.stream->Finish(&event.text, &event.parts);
  }
  if (answer.stream.has_value() && answer.stream->stopped() &&
      event.finish != FinishReason::kError) {
    event.finish = FinishReason::kStop;
  }
  if (event.finish != FinishReason::kNone) {
    Finish(answer, std::move(event), now);
    return true;
  }
  if (!event.tokens.empty() || !event.logits.empty() ||
      !event.prompt_logprobs.empty()) {
    Tell(index, std::move(event));
  }
  return false;
}

void LiveRequest::Count(Answer& answer, const SampledToken& token,
                        absl::Time now) {
  if (metrics_ != nullptr) {
    if (answer.tokens > 0) {
      metrics_->NextToken(now - answer.last_token);
    } else if (&answer == &answers_[0]) {
      metrics_->PromptDone(static_cast<int64_t>(request_.prompt.size()),
                           now - arrival_);
    }
  }
  if (answer.tokens == 0) answer.first_token = now;
  answer.last_token = now;
  ++answer.tokens;
  answer.logprob += token.logprob;
}

absl::Status LiveRequest::Follow(Answer& answer, int32_t token,
                                 PartKind before) {
  if (!answer.form.has_value()) return absl::OkStatus();
  return Annotate(answer.form->Take(token, before, answer.stream->kind()),
                  "format");
}

void LiveRequest::End(int index, FinishReason finish,
                      const absl::Status& status, absl::Time now) {
  Answer& answer = answers_[index];
  if (answer.ended) return;
  GenerateEvent event;
  event.index = index;
  event.finish = finish;
  event.status = status;
  Finish(answer, std::move(event), now);
}

void LiveRequest::EndAll(FinishReason finish, const absl::Status& status,
                         absl::Time now) {
  for (int i = 0; i < answers(); ++i) End(i, finish, status, now);
}

void LiveRequest::Finish(Answer& answer, GenerateEvent event, absl::Time now) {
  answer.ended = true;
  --unfinished_;
  event.usage = UsageOf(answer, now);
  if (unfinished_ == 0) Measure(event.finish, now);
  const int index = event.index;
  Tell(index, std::move(event));
  if (unfinished_ == 0 && holds()) TellBest();
}

void LiveRequest::Tell(int index, GenerateEvent event) {
  if (holds()) {
    Append(std::move(event), &answers_[index].held);
    return;
  }
  if (event.finish != FinishReason::kNone) {
    event.done = ++told_ == request_.n;
  }
  callback_(std::move(event));
}

void LiveRequest::TellBest() {
  std::vector<int> order(answers_.size());
  std::iota(order.begin(), order.end(), 0);
  const auto mean = [&](int i) {
    const Answer& answer = answers_[i];
    return answer.tokens == 0 ? 0.0 : answer.logprob / answer.tokens;
  };
  std::stable_sort(order.begin(), order.end(),
                   [&](int a, int b) { return mean(a) > mean(b); });
  std::vector<PromptLogprob> prompt =
      std::move(answers_[0].held.prompt_logprobs);
  for (int i = 0; i < request_.n; ++i) {
    GenerateEvent event = std::move(answers_[order[i]].held);
    event.index = i;
    event.prompt_logprobs.clear();
    if (i == 0) event.prompt_logprobs = std::move(prompt);
    event.done = i + 1 == request_.n;
    callback_(std::move(event));
  }
}

Usage LiveRequest::UsageOf(const Answer& answer, absl::Time now) const {
  Usage usage;
  usage.prompt_tokens = static_cast<int64_t>(request_.prompt.size());
  usage.cached_tokens = std::max<int64_t>(cached_, 0);
  usage.completion_tokens = answer.tokens;
  if (answer.tokens == 0) return usage;
  usage.queue_s = absl::ToDoubleSeconds(scheduled_ - arrival_);
  usage.first_token_s = absl::ToDoubleSeconds(answer.first_token - arrival_);
  const double after = absl::ToDoubleSeconds(now - answer.first_token);
  if (answer.tokens > 1 && after > 0) {
    usage.tokens_per_s = static_cast<double>(answer.tokens - 1) / after;
  }
  return usage;
}

void LiveRequest::Measure(FinishReason finish, absl::Time now) {
  if (metrics_ == nullptr) return;
  RequestRecord record;
  record.finish = finish;
  record.prompt_tokens = static_cast<int64_t>(request_.prompt.size());
  record.n = request_.n;
  record.max_tokens = request_.max_tokens;
  if (scheduled_ < absl::InfiniteFuture()) {
    record.scheduled = scheduled_ - arrival_;
  }
  for (const Answer& answer : answers_) {
    record.generated_tokens += answer.tokens;
    record.longest_answer = std::max(record.longest_answer, answer.tokens);
    if (answer.tokens == 0) continue;
    record.first_token =
        std::min(record.first_token, answer.first_token - arrival_);
    const absl::Duration last = answer.last_token - arrival_;
    record.last_token = record.last_token == absl::InfiniteDuration()
                            ? last
                            : std::max(record.last_token, last);
  }
  record.end = now - arrival_;
  metrics_->RequestDone(record);
}

}  // namespace facet
