#include "tests/support/forward.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "kernels/base/status_macros.h"

namespace facet {
namespace {

uint64_t NextId() {
  static uint64_t id = 0;
  return ++id;
}

// A sequence that owns its pages of both pools and reuses those behind the
// window, as the coordinator would.
class Sequence {
 public:
  Sequence(const ForwardOptions& options, const KvPoolSizes& pools,
           int32_t& next_sliding, int32_t& next_global)
      : id_{NextId()},
        options_(options),
        pools_(pools),
        next_sliding_(next_sliding),
        next_global_(next_global) {}

  SequenceSlice Slice(const TokenIds& tokens) {
    SequenceSlice slice;
    slice.sequence = id_;
    slice.tokens = tokens;
    slice.start = length_;
    if (length_ == 0) {
      slice.begins.emplace().prompt_tokens =
          static_cast<int64_t>(tokens.size());
    }
    if (options_.sliding_window > 0) {
      const int64_t first =
          std::max<int64_t>(0, length_ - options_.sliding_window + 1) /
          pools_.page_tokens;
      for (; sliding_first_ < first; ++sliding_first_) {
        free_.push_back(sliding_[sliding_first_]);
      }
    }
    slice.sliding_first_page = sliding_first_;
    length_ += static_cast<int64_t>(tokens.size());
    while (static_cast<int64_t>(sliding_.size()) * pools_.page_tokens <
           length_) {
      PageId page{next_sliding_};
      if (free_.empty()) {
        ++next_sliding_;
      } else {
        page = free_.back();
        free_.pop_back();
      }
      sliding_.push_back(page);
      slice.new_sliding_pages.push_back(page);
      slice.new_global_pages.push_back(PageId{next_global_++});
    }
    return slice;
  }

  SequenceId id() const { return id_; }
  int64_t length() const { return length_; }

 private:
  const SequenceId id_;
  const ForwardOptions& options_;
  const KvPoolSizes pools_;
  int32_t& next_sliding_;
  int32_t& next_global_;
  int64_t length_ = 0;
  int64_t sliding_first_ = 0;
  std::vector<PageId> sliding_;
  std::vector<PageId> free_;
};

uint64_t NextStep() {
  static uint64_t step = 0;
  return ++step;
}

absl::Status Finish(Executor& executor, const std::vector<SequenceId>& ids) {
  StepPlan plan;
  plan.step = NextStep();
  plan.finished = ids;
  return executor.Execute(plan).status();
}

}  // namespace

absl::StatusOr<std::vector<std::vector<float>>> LogitsOf(
    Executor& executor, const std::vector<TokenIds>& prompts,
    const ForwardOptions& options) {
  std::vector<std::vector<float>> out;
  for (const TokenIds& prompt : prompts) {
    out.emplace_back(prompt.size() * options.vocab_size);
  }
  const size_t group = options.together ? prompts.size() : 1;
  for (size_t first = 0; first < prompts.size(); first += group) {
    int32_t next_sliding = 0, next_global = 0;
    std::vector<Sequence> sequences;
    std::vector<SequenceId> ids;
    for (size_t p = first; p < first + group; ++p) {
      sequences.emplace_back(options, executor.pools(), next_sliding,
                             next_global);
      ids.push_back(sequences.back().id());
    }
    while (true) {
      StepPlan plan;
      plan.step = NextStep();
      for (size_t i = 0; i < group; ++i) {
        const TokenIds& prompt = prompts[first + i];
        const int64_t left =
            static_cast<int64_t>(prompt.size()) - sequences[i].length();
        if (left <= 0) continue;
        const int64_t count =
            options.chunk > 0 ? std::min(options.chunk, left) : left;
        const auto begin = prompt.begin() + sequences[i].length();
        plan.slices.push_back(
            sequences[i].Slice(TokenIds(begin, begin + count)));
        plan.slices.back().logits = LogitsWanted::kAll;
      }
      if (plan.slices.empty()) break;
      FACET_ASSIGN_OR_RETURN(StepResult result, executor.Execute(plan));
      for (const LogitsBlock& block : result.logits) {
        const size_t i =
            std::find(ids.begin(), ids.end(), block.sequence) - ids.begin();
        const int64_t width = block.vocab_end - block.vocab_begin;
        for (int64_t row = 0; row < block.rows; ++row) {
          std::memcpy(out[first + i].data() +
                          (block.first_position + row) * options.vocab_size +
                          block.vocab_begin,
                      block.values.data() + row * width, width * sizeof(float));
        }
      }
    }
    FACET_RETURN_IF_ERROR(Finish(executor, ids));
  }
  return out;
}

absl::StatusOr<std::vector<SampledToken>> Continue(
    Executor& executor, const TokenIds& prompt, int count,
    const SamplingParams& sampling, const ForwardOptions& options) {
  int32_t next_sliding = 0, next_global = 0;
  Sequence sequence(options, executor.pools(), next_sliding, next_global);
  std::vector<SampledToken> out;
  TokenIds next = prompt;
  for (int i = 0; i < count; ++i) {
    StepPlan plan;
    plan.step = NextStep();
    plan.slices.push_back(sequence.Slice(next));
    plan.slices.back().sample = true;
    plan.slices.back().sampling = sampling;
    FACET_ASSIGN_OR_RETURN(StepResult result, executor.Execute(plan));
    if (result.tokens.size() != 1) {
      return absl::InternalError("a step with one sample gave not one token");
    }
    next = {result.tokens[0].token};
    out.push_back(std::move(result.tokens[0]));
  }
  FACET_RETURN_IF_ERROR(Finish(executor, {sequence.id()}));
  return out;
}

}  // namespace facet
