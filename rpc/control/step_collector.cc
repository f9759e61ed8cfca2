#include "rpc/control/step_collector.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/base/check.h"
#include "kernels/base/status_macros.h"

namespace facet {
namespace {

int64_t Count(const SequenceSlice& slice) {
  return static_cast<int64_t>(slice.tokens.size());
}

// How many prompt log-probabilities the slice may bring, and whether it must
// bring them all. Where the prompt ends with the slice, at most the last
// position has no next token; where it ended before, more have none.
struct PromptShare {
  int64_t most = 0;
  bool all = false;
};

PromptShare PromptShareOf(const SequenceSlice& slice) {
  if (slice.prompt_logprobs < 0) return {0, true};
  if (slice.next_prompt_token >= 0) return {Count(slice), true};
  return {Count(slice) - 1, false};
}

int64_t Elements(const LogitsBlock& block) {
  return block.rows * (block.vocab_end - block.vocab_begin);
}

bool IsFull(const LogitsBlock& block) {
  return static_cast<int64_t>(block.values.size()) == Elements(block);
}

bool SameHeader(const LogitsBlock& a, const LogitsBlock& b) {
  return a.sequence == b.sequence && a.first_position == b.first_position &&
         a.rows == b.rows && a.vocab_begin == b.vocab_begin &&
         a.vocab_end == b.vocab_end;
}

absl::Status CheckStep(uint64_t expected, uint64_t found) {
  if (expected == found) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("answered step ", found, ", expected step ", expected));
}

}  // namespace

StepCollector::StepCollector(const StepPlan* plan, int world_size,
                             int64_t vocab_size)
    : plan_(plan),
      vocab_size_(vocab_size),
      ranks_(world_size),
      prompt_logprobs_(plan->slices.size(), 0) {
  result_.step = plan->step;
  result_.rank_compute.resize(world_size);
  for (const SequenceSlice& slice : plan->slices) {
    if (slice.logits == LogitsWanted::kNone) continue;
    const bool all = slice.logits == LogitsWanted::kAll;
    logits_wanted_ += (all ? Count(slice) : 1) * vocab_size;
  }
}

const SequenceSlice* StepCollector::Slice(SequenceId sequence) const {
  for (const SequenceSlice& slice : plan_->slices) {
    if (slice.sequence == sequence) return &slice;
  }
  return nullptr;
}

absl::Status StepCollector::Add(int rank, LogitsPiece piece) {
  FACET_RETURN_IF_ERROR(CheckStep(plan_->step, piece.step));
  Rank& from = ranks_[rank];
  if (from.answered) {
    return absl::InvalidArgumentError("sent logits after its result");
  }
  if (!from.blocks.empty() && !IsFull(from.blocks.back())) {
    LogitsBlock& block = from.blocks.back();
    if (!SameHeader(block, piece.block) ||
        piece.offset != static_cast<int64_t>(block.values.size())) {
      return absl::InvalidArgumentError(absl::StrCat(
          "sent logits of sequence ", piece.block.sequence.value, " at offset ",
          piece.offset, ", expected sequence ", block.sequence.value,
          " at offset ", block.values.size()));
    }
    block.values.insert(block.values.end(), piece.values.begin(),
                        piece.values.end());
    return absl::OkStatus();
  }
  const LogitsBlock& block = piece.block;
  const SequenceSlice* slice = Slice(block.sequence);
  if (slice == nullptr || slice->logits == LogitsWanted::kNone) {
    return absl::InvalidArgumentError(
        absl::StrCat("sent logits of sequence ", block.sequence.value,
                     ", which the step asks none of"));
  }
  const int64_t end = slice->start + Count(*slice);
  const int64_t begin =
      slice->logits == LogitsWanted::kLast ? end - 1 : slice->start;
  if (block.first_position < begin || block.rows > end - block.first_position) {
    return absl::InvalidArgumentError(
        absl::StrCat("sent logits of positions ", block.first_position, " to ",
                     block.first_position + block.rows, ", expected some of ",
                     begin, " to ", end));
  }
  if (block.vocab_end > vocab_size_) {
    return absl::InvalidArgumentError(
        absl::StrCat("sent logits up to vocabulary id ", block.vocab_end,
                     " of ", vocab_size_));
  }
  if (piece.offset != 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "sent logits that begin at offset ", piece.offset, ", expected 0"));
  }
  // Each value once: blocks of one rank do not overlap.
  from.logits += Elements(block);
  if (Elements(block) == 0 || from.logits > logits_wanted_) {
    return absl::InvalidArgumentError(absl::StrCat(
        "sent a block of ", Elements(block), " logits, ", from.logits,
        " in all, expected 1 to ", logits_wanted_, " in all"));
  }
  from.blocks.push_back(block);
  if (static_cast<int64_t>(piece.values.size()) == Elements(block)) {
    from.blocks.back().values = std::move(piece.values);
  } else {
    from.blocks.back().values.reserve(Elements(block));
    from.blocks.back().values = piece.values;
  }
  return absl::OkStatus();
}

absl::Status StepCollector::CheckPromptLogprob(const PromptLogprob& entry) {
  const std::vector<SequenceSlice>& slices = plan_->slices;
  while (prompt_slice_ < slices.size() &&
         !(slices[prompt_slice_].sequence == entry.sequence)) {
    ++prompt_slice_;
  }
  const std::string what =
      absl::StrCat("sent the log-probability of position ", entry.position,
                   " of sequence ", entry.sequence.value);
  if (prompt_slice_ == slices.size()) {
    return absl::InvalidArgumentError(absl::StrCat(
        what, ", which has no slice or comes in front of the one before"));
  }
  const SequenceSlice& slice = slices[prompt_slice_];
  int64_t& count = prompt_logprobs_[prompt_slice_];
  const int64_t most = PromptShareOf(slice).most;
  if (count == most || entry.position != slice.start + 1 + count) {
    return absl::InvalidArgumentError(
        absl::StrCat(what, ", expected ", most, " from position ",
                     slice.start + 1, " on, of which ", count, " have come"));
  }
  if (static_cast<int>(entry.top.size()) > slice.prompt_logprobs) {
    return absl::InvalidArgumentError(
        absl::StrCat(what, " with ", entry.top.size(), " tokens, expected ",
                     slice.prompt_logprobs));
  }
  ++count;
  return absl::OkStatus();
}

absl::Status StepCollector::Add(int rank, PromptLogprobsPiece piece) {
  FACET_RETURN_IF_ERROR(CheckStep(plan_->step, piece.step));
  if (ranks_[rank].answered) {
    return absl::InvalidArgumentError(
        "sent prompt log-probabilities after its result");
  }
  if (prompt_rank_ >= 0 && prompt_rank_ != rank) {
    return absl::InvalidArgumentError(
        "sent prompt log-probabilities though another rank did");
  }
  for (PromptLogprob& entry : piece.logprobs) {
    FACET_RETURN_IF_ERROR(CheckPromptLogprob(entry));
    prompt_rank_ = rank;
    result_.prompt_logprobs.push_back(std::move(entry));
  }
  return absl::OkStatus();
}

absl::Status StepCollector::Add(int rank, StepResult result) {
  FACET_RETURN_IF_ERROR(CheckStep(plan_->step, result.step));
  Rank& from = ranks_[rank];
  if (from.answered) {
    return absl::InvalidArgumentError("sent its result twice");
  }
  if (!from.blocks.empty() && !IsFull(from.blocks.back())) {
    return absl::InvalidArgumentError("sent its result amid a logits block");
  }
  if (!result.tokens.empty()) {
    if (!result_.tokens.empty()) {
      return absl::InvalidArgumentError("sampled though another rank did");
    }
    result_.tokens = std::move(result.tokens);
  }
  result_.compute = std::max(result_.compute, result.compute);
  result_.rank_compute[rank] = result.compute;
  from.answered = true;
  ++answered_;
  return absl::OkStatus();
}

std::vector<int> StepCollector::Missing() const {
  std::vector<int> missing;
  for (int rank = 0; rank < static_cast<int>(ranks_.size()); ++rank) {
    if (!ranks_[rank].answered) missing.push_back(rank);
  }
  return missing;
}

absl::Status StepCollector::CheckTokens() const {
  size_t next = 0;
  for (const SequenceSlice& slice : plan_->slices) {
    if (!slice.sample) continue;
    if (next == result_.tokens.size() ||
        !(result_.tokens[next].sequence == slice.sequence)) {
      return absl::InternalError(absl::StrCat("step ", plan_->step,
                                              ": no token for sequence ",
                                              slice.sequence.value));
    }
    ++next;
  }
  if (next != result_.tokens.size()) {
    return absl::InternalError(absl::StrCat("step ", plan_->step, ": ",
                                            result_.tokens.size(),
                                            " tokens, expected ", next));
  }
  return absl::OkStatus();
}

absl::StatusOr<StepResult> StepCollector::Take() {
  FACET_CHECK(complete());
  FACET_RETURN_IF_ERROR(CheckTokens());
  for (size_t i = 0; i < plan_->slices.size(); ++i) {
    const PromptShare share = PromptShareOf(plan_->slices[i]);
    if (share.all && prompt_logprobs_[i] != share.most) {
      return absl::InternalError(absl::StrCat(
          "step ", plan_->step, ": ", prompt_logprobs_[i],
          " prompt log-probabilities of sequence ",
          plan_->slices[i].sequence.value, ", expected ", share.most));
    }
  }
  for (Rank& rank : ranks_) {
    for (LogitsBlock& block : rank.blocks) {
      result_.logits.push_back(std::move(block));
    }
  }
  const auto slice_index = [this](const LogitsBlock& block) {
    return Slice(block.sequence) - plan_->slices.data();
  };
  std::stable_sort(result_.logits.begin(), result_.logits.end(),
                   [&](const LogitsBlock& a, const LogitsBlock& b) {
                     const auto x = slice_index(a);
                     const auto y = slice_index(b);
                     if (x != y) return x < y;
                     return a.vocab_begin < b.vocab_begin;
                   });
  return std::move(result_);
}

}  // namespace facet
