#include "runtime/executor/sample_step.h"

#include <algorithm>
#include <utility>

#include "kernels/base/status_macros.h"
#include "kernels/sampling/adjust_logits.h"
#include "kernels/sampling/sampling.h"
#include "runtime/executor/draw_tokens.h"

namespace facet {
namespace {

// Rows of logits in memory at once.
constexpr int64_t kRowsAtOnce = 64;

// A bias from here on down forbids the token.
constexpr float kForbiddingBias = -100.0f;

DrawOptions OptionsOf(const SamplingParams& sampling, int64_t position) {
  DrawOptions options;
  options.temperature = sampling.temperature;
  options.top_k = sampling.top_k;
  options.top_p = sampling.top_p;
  options.min_p = sampling.min_p;
  options.seed = sampling.seed;
  options.position = position;
  return options;
}

}  // namespace

// A row of the step after which a token is drawn.
struct StepSampler::Row {
  const SequenceSlice* slice;
  int64_t index;  // of the step's rows
  absl::Span<float> logits;
  // Or only the best of them.
  bool only_top = false;
  std::vector<TokenLogit> top;
  // The model's logits of tokens that Adjust() changed: those of this rank,
  // the first entry of a token counting.
  std::vector<OwnLogit> changed;

  const SamplingParams& sampling() const { return slice->sampling; }
  bool wants_logprobs() const {
    return sampling().logprob || sampling().top_logprobs > 0;
  }
  int64_t drawn_position() const {
    return slice->start + static_cast<int64_t>(slice->tokens.size());
  }
};

absl::Status StepSampler::Run(const StepPlan& plan, StepResult& result) {
  FACET_RETURN_IF_ERROR(AddBlocks(plan, result));
  FACET_RETURN_IF_ERROR(ScorePrompts(plan, result));
  return Sample(plan, result);
}

absl::StatusOr<std::vector<absl::Span<float>>> StepSampler::Logits(
    absl::Span<const int64_t> indices) {
  const int64_t width = group_.own_vocab().size();
  const size_t needed = indices.size() * width;
  if (logits_.size() < needed) logits_.resize(needed);
  FACET_RETURN_IF_ERROR(
      model_.Logits(indices, absl::MakeSpan(logits_.data(), needed)));
  std::vector<absl::Span<float>> rows;
  for (size_t i = 0; i < indices.size(); ++i) {
    rows.push_back(absl::MakeSpan(logits_.data() + i * width, width));
  }
  return rows;
}

absl::Status StepSampler::AddBlocks(const StepPlan& plan, StepResult& result) {
  int64_t first_row = 0;
  for (const SequenceSlice& slice : plan.slices) {
    const int64_t count = static_cast<int64_t>(slice.tokens.size());
    const int64_t begin = slice.logits == LogitsWanted::kAll    ? 0
                          : slice.logits == LogitsWanted::kLast ? count - 1
                                                                : count;
    for (int64_t at = begin; at < count; at += kRowsAtOnce) {
      std::vector<int64_t> rows;
      for (int64_t i = at; i < std::min(count, at + kRowsAtOnce); ++i) {
        rows.push_back(first_row + i);
      }
      LogitsBlock block;
      block.sequence = slice.sequence;
      block.first_position = slice.start + at;
      block.rows = static_cast<int64_t>(rows.size());
      block.vocab_begin = group_.own_vocab().begin;
      block.vocab_end = group_.own_vocab().end;
      block.values.resize(block.rows * group_.own_vocab().size());
      FACET_RETURN_IF_ERROR(model_.Logits(rows, absl::MakeSpan(block.values)));
      result.logits.push_back(std::move(block));
    }
    first_row += count;
  }
  return absl::OkStatus();
}

absl::Status StepSampler::ScorePrompts(const StepPlan& plan,
                                       StepResult& result) {
  std::vector<PromptLogprob> tokens;  // wanted ones, without their values
  std::vector<int64_t> indices;
  std::vector<int> tops;
  int64_t first_row = 0;
  for (const SequenceSlice& slice : plan.slices) {
    const int64_t count = static_cast<int64_t>(slice.tokens.size());
    for (int64_t i = 0; slice.prompt_logprobs >= 0 && i < count; ++i) {
      PromptLogprob next;
      next.sequence = slice.sequence;
      next.position = slice.start + i + 1;
      next.token =
          i + 1 < count ? slice.tokens[i + 1] : slice.next_prompt_token;
      const bool of_prompt =
          next.position < memory_.history(slice.sequence).prompt_tokens();
      if (next.token < 0 || !of_prompt) continue;
      tokens.push_back(std::move(next));
      indices.push_back(first_row + i);
      tops.push_back(slice.prompt_logprobs);
    }
    first_row += count;
  }
  for (size_t at = 0; at < tokens.size(); at += kRowsAtOnce) {
    FACET_RETURN_IF_ERROR(ScorePromptRows(
        absl::MakeConstSpan(tokens).subspan(at, kRowsAtOnce),
        absl::MakeConstSpan(indices).subspan(at, kRowsAtOnce),
        absl::MakeConstSpan(tops).subspan(at, kRowsAtOnce), result));
  }
  return absl::OkStatus();
}

absl::Status StepSampler::ScorePromptRows(
    absl::Span<const PromptLogprob> tokens, absl::Span<const int64_t> indices,
    absl::Span<const int> tops, StepResult& result) {
  FACET_ASSIGN_OR_RETURN(const std::vector<absl::Span<float>> logits,
                         Logits(indices));
  std::vector<TopWish> wishes;
  std::vector<OwnLogit> own;
  for (size_t i = 0; i < tokens.size(); ++i) {
    wishes.push_back({logits[i], tops[i]});
    const int32_t token = tokens[i].token;
    const IndexRange& vocab = group_.own_vocab();
    own.push_back(
        {token, vocab.contains(token) ? logits[i][token - vocab.begin] : 0});
  }
  FACET_ASSIGN_OR_RETURN(std::vector<RowScores> scores,
                         ScoreRows(wishes, group_, pool_));
  FACET_ASSIGN_OR_RETURN(const std::vector<float> shared,
                         ShareLogits(own, group_));
  for (size_t i = 0; i < tokens.size(); ++i) {
    PromptLogprob scored = tokens[i];
    scored.logprob = shared[i] - scores[i].log_sum;
    scored.top = std::move(scores[i].top);
    result.prompt_logprobs.push_back(std::move(scored));
  }
  return absl::OkStatus();
}

absl::Status StepSampler::Sample(const StepPlan& plan, StepResult& result) {
  std::vector<Row> rows;
  int64_t end = 0;
  for (const SequenceSlice& slice : plan.slices) {
    end += static_cast<int64_t>(slice.tokens.size());
    if (slice.sample) rows.push_back({&slice, end - 1, {}, false, {}, {}});
  }
  for (size_t at = 0; at < rows.size(); at += kRowsAtOnce) {
    FACET_RETURN_IF_ERROR(
        SampleRows(absl::MakeSpan(rows).subspan(at, kRowsAtOnce), result));
  }
  return absl::OkStatus();
}

// Whether the best logits are all that a draw needs, as the model made them.
bool StepSampler::DrawsFromTop(const Row& row) const {
  const SamplingParams& sampling = row.sampling();
  const SequenceHistory& history = memory_.history(row.slice->sequence);
  const int candidates =
      CandidatesOf(OptionsOf(sampling, row.drawn_position()));
  return candidates > 0 && candidates <= kMostDeviceTop &&
         !row.wants_logprobs() && !sampling.Penalises() &&
         history.logit_bias().empty() &&
         row.drawn_position() >= history.late_position() &&
         row.slice->mask == nullptr;
}

absl::Status StepSampler::ComputeRows(absl::Span<Row> rows) {
  std::vector<int64_t> whole, top;
  int most = 0;
  for (Row& row : rows) {
    row.only_top = model_.on_device() && DrawsFromTop(row);
    (row.only_top ? top : whole).push_back(row.index);
    if (!row.only_top) continue;
    most = std::max(
        most, CandidatesOf(OptionsOf(row.sampling(), row.drawn_position())));
  }
  std::vector<std::vector<TokenLogit>> lists;
  if (!top.empty()) {
    FACET_ASSIGN_OR_RETURN(lists, model_.TopLogits(top, most));
  }
  std::vector<absl::Span<float>> logits;
  if (!whole.empty()) {
    FACET_ASSIGN_OR_RETURN(logits, Logits(whole));
  }
  size_t next_list = 0, next_row = 0;
  for (Row& row : rows) {
    if (row.only_top) {
      row.top = std::move(lists[next_list++]);
    } else {
      row.logits = logits[next_row++];
    }
  }
  return absl::OkStatus();
}

absl::Status StepSampler::SampleRows(absl::Span<Row> rows, StepResult& result) {
  FACET_RETURN_IF_ERROR(ComputeRows(rows));
  // Log-probabilities are the model's, so they come first.
  std::vector<TopWish> scored;
  for (const Row& row : rows) {
    if (!row.wants_logprobs()) continue;
    scored.push_back({row.logits, row.sampling().top_logprobs});
  }
  FACET_ASSIGN_OR_RETURN(std::vector<RowScores> scores,
                         ScoreRows(scored, group_, pool_));

  pool_.ParallelDynamic(static_cast<int64_t>(rows.size()), [&](int, int64_t i) {
    if (!rows[i].only_top) Adjust(rows[i]);
  });
  std::vector<DrawWish> wishes;
  for (const Row& row : rows) {
    wishes.push_back({row.logits,
                      OptionsOf(row.sampling(), row.drawn_position()),
                      row.only_top ? &row.top : nullptr});
  }
  FACET_ASSIGN_OR_RETURN(const std::vector<int32_t> drawn,
                         DrawTokens(wishes, group_, pool_));

  std::vector<OwnLogit> own;
  for (size_t i = 0; i < rows.size(); ++i) {
    if (!rows[i].wants_logprobs()) continue;
    OwnLogit logit{drawn[i], 0};
    const IndexRange& vocab = group_.own_vocab();
    if (vocab.contains(drawn[i])) {
      logit.logit = rows[i].logits[drawn[i] - vocab.begin];
    }
    const auto changed =
        std::find_if(rows[i].changed.begin(), rows[i].changed.end(),
                     [&](const OwnLogit& c) { return c.token == drawn[i]; });
    if (changed != rows[i].changed.end()) logit = *changed;
    own.push_back(logit);
  }
  FACET_ASSIGN_OR_RETURN(const std::vector<float> shared,
                         ShareLogits(own, group_));
  size_t next = 0;
  for (size_t i = 0; i < rows.size(); ++i) {
    SampledToken token;
    token.sequence = rows[i].slice->sequence;
    token.token = drawn[i];
    if (rows[i].wants_logprobs()) {
      token.logprob = shared[next] - scores[next].log_sum;
      token.top = std::move(scores[next].top);
      ++next;
    }
    result.tokens.push_back(std::move(token));
  }
  return absl::OkStatus();
}

void StepSampler::Adjust(Row& row) {
  SequenceHistory& history = memory_.history(row.slice->sequence);
  const SamplingParams& sampling = row.sampling();
  const IndexRange& vocab = group_.own_vocab();
  const auto first = static_cast<int32_t>(vocab.begin);
  const bool late = row.drawn_position() < history.late_position();
  absl::Span<const TokenUse> uses;
  if (sampling.Penalises()) uses = history.Uses();

  if (row.wants_logprobs()) {
    const auto keep = [&](int32_t token) {
      if (!vocab.contains(token)) return;
      row.changed.push_back({token, row.logits[token - vocab.begin]});
    };
    for (const TokenBias& bias : history.logit_bias()) keep(bias.token);
    for (const TokenUse& use : uses) keep(use.token);
    if (late) {
      for (const int32_t token : history.late_tokens()) keep(token);
    }
  }
  for (const TokenBias& bias : history.logit_bias()) {
    if (bias.bias <= kForbiddingBias || !vocab.contains(bias.token)) continue;
    row.logits[bias.token - vocab.begin] += bias.bias;
  }
  Penalise(uses,
           {sampling.repetition_penalty, sampling.presence_penalty,
            sampling.frequency_penalty},
           first, row.logits);
  for (const TokenBias& bias : history.logit_bias()) {
    if (bias.bias <= kForbiddingBias) Forbid(bias.token, first, row.logits);
  }
  if (late) {
    for (const int32_t token : history.late_tokens()) {
      Forbid(token, first, row.logits);
    }
  }
  if (row.slice->mask != nullptr) {
    KeepMasked(*row.slice->mask, first, row.logits);
  }
}

}  // namespace facet
