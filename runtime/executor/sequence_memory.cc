#include "runtime/executor/sequence_memory.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "kernels/base/check.h"

namespace facet {
namespace {

bool IsPlaceholder(const SequenceSlice& slice) {
  return slice.tokens.size() == 1 && slice.tokens[0] == kSampledToken;
}

}  // namespace

SequenceHistory::SequenceHistory(const SequenceStart& start,
                                 int64_t first_position)
    : prompt_tokens_(start.prompt_tokens),
      logit_bias_(start.logit_bias),
      late_tokens_(start.late_tokens),
      late_position_(start.late_position),
      first_position_(first_position -
                      static_cast<int64_t>(start.earlier_tokens.size())),
      tokens_(start.earlier_tokens) {}

void SequenceHistory::Append(absl::Span<const int32_t> tokens) {
  tokens_.insert(tokens_.end(), tokens.begin(), tokens.end());
}

absl::Span<const TokenUse> SequenceHistory::Uses() {
  for (; counted_ < tokens_.size(); ++counted_) {
    const int32_t token = tokens_[counted_];
    const auto [at, is_new] = index_.try_emplace(token, uses_.size());
    if (is_new) uses_.push_back({token, 0});
    const int64_t position = first_position_ + static_cast<int64_t>(counted_);
    if (position >= prompt_tokens_) ++uses_[at->second].in_answer;
  }
  return uses_;
}

absl::Status SequenceMemory::Check(const StepPlan& plan) const {
  for (const SequenceSlice& slice : plan.slices) {
    if (!IsPlaceholder(slice)) continue;
    const auto it = sequences_.find(slice.sequence);
    if (it == sequences_.end() || it->second.drawn_in == 0) {
      return absl::InvalidArgumentError(absl::StrCat(
          "step: sequence ", slice.sequence.value,
          " continues with the token that its slice before drew, and that ",
          "drew none"));
    }
  }
  return absl::OkStatus();
}

uint64_t SequenceMemory::NeedsDrawsOf(const StepPlan& plan) const {
  uint64_t last = 0;
  for (const SequenceSlice& slice : plan.slices) {
    if (!IsPlaceholder(slice)) continue;
    last = std::max(last, sequences_.at(slice.sequence).drawn_in);
  }
  return last;
}

StepPlan SequenceMemory::Resolve(const StepPlan& plan) const {
  StepPlan resolved = plan;
  for (SequenceSlice& slice : resolved.slices) {
    if (!IsPlaceholder(slice)) continue;
    slice.tokens[0] = sequences_.at(slice.sequence).drawn;
  }
  return resolved;
}

StepDraws SequenceMemory::Apply(const StepPlan& plan) {
  StepDraws draws;
  draws.step = plan.step;
  for (const SequenceId id : plan.finished) sequences_.erase(id);
  for (const SequenceSlice& slice : plan.slices) {
    Entry& entry = sequences_[slice.sequence];
    if (slice.sample) draws.sequences.push_back(slice.sequence);
    entry.drawn_in = slice.sample ? plan.step : 0;
    if (!last_stage_) continue;
    if (slice.begins.has_value()) {
      entry.history = SequenceHistory(*slice.begins, slice.start);
    }
    entry.history.Append(slice.tokens);
  }
  return draws;
}

void SequenceMemory::Remember(const StepDraws& draws,
                              absl::Span<const int32_t> tokens) {
  FACET_CHECK(draws.sequences.size() == tokens.size());
  for (size_t i = 0; i < tokens.size(); ++i) {
    const auto it = sequences_.find(draws.sequences[i]);
    if (it == sequences_.end() || it->second.drawn_in != draws.step) continue;
    it->second.drawn = tokens[i];
  }
}

SequenceHistory& SequenceMemory::history(SequenceId sequence) {
  const auto it = sequences_.find(sequence);
  FACET_CHECK(it != sequences_.end());
  return it->second.history;
}

}  // namespace facet
