#include "tests/support/forward.h"

#include <algorithm>
#include <cstring>
#include <deque>
#include <iterator>
#include <utility>

#include "kernels/base/check.h"
#include "kernels/base/status_macros.h"

namespace facet {
namespace {

uint64_t NextId() {
  static uint64_t id = 0;
  return ++id;
}

uint64_t NextStep() {
  static uint64_t step = 0;
  return ++step;
}

// Pages nobody has had yet.
struct FreshPages {
  int32_t sliding = 0;
  int32_t global = 0;
};

// A sequence that owns its pages of both pools and reuses those behind the
// window, as the coordinator would.
class Sequence {
 public:
  // `window` 0: keeps all pages.
  Sequence(int window, int page_tokens, FreshPages& fresh)
      : id_{NextId()},
        window_(window),
        page_tokens_(page_tokens),
        fresh_(fresh) {}

  // Begins at `start`, on pages of `donor`.
  void BeginOn(const Sequence& donor, int64_t start) {
    length_ = start;
    sliding_first_ = FirstPageSeenFrom(start);
    const int64_t end = start / page_tokens_;
    sliding_.assign(donor.sliding_.begin(), donor.sliding_.begin() + end);
    global_.assign(donor.global_.begin(), donor.global_.begin() + end);
  }

  SequenceSlice Slice(const TokenIds& tokens, const SequenceStart& start) {
    SequenceSlice slice;
    slice.sequence = id_;
    slice.tokens = tokens;
    slice.start = length_;
    for (const int64_t first = FirstPageSeenFrom(length_);
         sliding_first_ < first; ++sliding_first_) {
      free_.push_back(sliding_[sliding_first_]);
    }
    slice.sliding_first_page = sliding_first_;
    if (!begun_) {
      slice.begins = start;
      slice.new_sliding_pages.assign(sliding_.begin() + sliding_first_,
                                     sliding_.end());
      slice.new_global_pages = global_;
    }
    begun_ = true;
    length_ += static_cast<int64_t>(tokens.size());
    while (static_cast<int64_t>(sliding_.size()) * page_tokens_ < length_) {
      PageId page{fresh_.sliding};
      if (free_.empty()) {
        ++fresh_.sliding;
      } else {
        page = free_.back();
        free_.pop_back();
      }
      sliding_.push_back(page);
      global_.push_back(PageId{fresh_.global++});
      slice.new_sliding_pages.push_back(page);
      slice.new_global_pages.push_back(global_.back());
    }
    return slice;
  }

  SequenceId id() const { return id_; }
  int64_t length() const { return length_; }

 private:
  int64_t FirstPageSeenFrom(int64_t position) const {
    if (window_ == 0) return 0;
    return std::max<int64_t>(0, position - window_ + 1) / page_tokens_;
  }

  const SequenceId id_;
  const int window_;
  const int64_t page_tokens_;
  FreshPages& fresh_;
  bool begun_ = false;
  int64_t length_ = 0;
  int64_t sliding_first_ = 0;
  std::vector<PageId> sliding_;  // by page index
  std::vector<PageId> global_;
  std::vector<PageId> free_;
};

absl::Status End(Executor& executor, const std::vector<SequenceId>& ids) {
  StepPlan plan;
  plan.step = NextStep();
  plan.finished = ids;
  return executor.Execute(plan).status();
}

// Prompts on their way through an executor, from the beginning or from where
// they share pages.
class Prompts {
 public:
  Prompts(Executor& executor, const ForwardOptions& options)
      : executor_(executor), options_(options) {}

  absl::Status Add(const TokenIds& prompt, SequenceStart start) {
    const int page_tokens = executor_.pools().page_tokens;
    Sequence sequence(options_.sliding_window, page_tokens, fresh_);
    if (options_.shared > 0) {
      FACET_CHECK(options_.shared < static_cast<int64_t>(prompt.size()));
      Sequence donor(/*window=*/0, page_tokens, fresh_);
      TokenIds tokens(prompt.begin(), prompt.begin() + options_.shared);
      tokens.insert(tokens.end(), {5, 6, 7});  // another end
      SequenceStart donor_start;
      donor_start.prompt_tokens = static_cast<int64_t>(tokens.size());
      StepPlan plan;
      plan.step = NextStep();
      plan.slices.push_back(donor.Slice(tokens, donor_start));
      FACET_RETURN_IF_ERROR(executor_.Execute(plan).status());
      FACET_RETURN_IF_ERROR(End(executor_, {donor.id()}));
      sequence.BeginOn(donor, options_.shared);
      start.earlier_tokens.assign(prompt.begin(),
                                  prompt.begin() + options_.shared);
    }
    start.prompt_tokens = static_cast<int64_t>(prompt.size());
    ids_.push_back(sequence.id());
    sequences_.push_back(std::move(sequence));
    prompts_.push_back(prompt);
    starts_.push_back(std::move(start));
    return absl::OkStatus();
  }

  // The next chunk of a prompt that is not through.
  SequenceSlice NextChunk(size_t i) {
    const TokenIds& prompt = prompts_[i];
    const int64_t begin = sequences_[i].length();
    const int64_t left = static_cast<int64_t>(prompt.size()) - begin;
    const int64_t count =
        options_.chunk > 0 ? std::min(options_.chunk, left) : left;
    SequenceSlice slice = sequences_[i].Slice(
        TokenIds(prompt.begin() + begin, prompt.begin() + begin + count),
        starts_[i]);
    if (count < left) slice.next_prompt_token = prompt[begin + count];
    return slice;
  }
  bool Through(size_t i) const {
    return sequences_[i].length() >= static_cast<int64_t>(prompts_[i].size());
  }
  SequenceSlice NextToken(size_t i, int32_t token) {
    return sequences_[i].Slice({token}, starts_[i]);
  }

  size_t size() const { return ids_.size(); }
  size_t IndexOf(SequenceId id) const {
    return std::find(ids_.begin(), ids_.end(), id) - ids_.begin();
  }
  const std::vector<SequenceId>& ids() const { return ids_; }

 private:
  Executor& executor_;
  const ForwardOptions& options_;
  FreshPages fresh_;
  std::deque<Sequence> sequences_;
  std::vector<TokenIds> prompts_;
  std::vector<SequenceStart> starts_;
  std::vector<SequenceId> ids_;
};

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
    Prompts running(executor, options);
    for (size_t p = first; p < first + group; ++p) {
      FACET_RETURN_IF_ERROR(running.Add(prompts[p], {}));
    }
    while (true) {
      StepPlan plan;
      plan.step = NextStep();
      for (size_t i = 0; i < group; ++i) {
        if (running.Through(i)) continue;
        plan.slices.push_back(running.NextChunk(i));
        plan.slices.back().logits = LogitsWanted::kAll;
      }
      if (plan.slices.empty()) break;
      FACET_ASSIGN_OR_RETURN(StepResult result, executor.Execute(plan));
      for (const LogitsBlock& block : result.logits) {
        const size_t i = running.IndexOf(block.sequence);
        const int64_t width = block.vocab_end - block.vocab_begin;
        for (int64_t row = 0; row < block.rows; ++row) {
          std::memcpy(out[first + i].data() +
                          (block.first_position + row) * options.vocab_size +
                          block.vocab_begin,
                      block.values.data() + row * width, width * sizeof(float));
        }
      }
    }
    FACET_RETURN_IF_ERROR(End(executor, running.ids()));
  }
  return out;
}

absl::StatusOr<std::vector<Continuation>> Continue(
    Executor& executor, const std::vector<TokenIds>& prompts,
    const ContinueOptions& what, const ForwardOptions& options) {
  Prompts running(executor, options);
  for (const TokenIds& prompt : prompts) {
    FACET_RETURN_IF_ERROR(running.Add(prompt, what.start));
  }
  std::vector<Continuation> out(prompts.size());
  std::vector<int> handed_over(prompts.size());  // slices that draw
  const size_t ahead = what.pipelined ? executor.stages() + 1 : 1;
  uint64_t completed = 0;
  std::deque<uint64_t> unfinished;
  const auto finish = [&]() -> absl::Status {
    FACET_ASSIGN_OR_RETURN(StepResult result, executor.Finish());
    completed = unfinished.front();
    unfinished.pop_front();
    for (SampledToken& token : result.tokens) {
      out[running.IndexOf(token.sequence)].tokens.push_back(std::move(token));
    }
    for (PromptLogprob& logprob : result.prompt_logprobs) {
      out[running.IndexOf(logprob.sequence)].prompt_logprobs.push_back(
          std::move(logprob));
    }
    return absl::OkStatus();
  };
  for (size_t turn = 0; !running.ids().empty(); turn = (turn + 1) % ahead) {
    StepPlan plan;
    bool left = false;
    for (size_t i = 0; i < running.size(); ++i) {
      left |= handed_over[i] < what.count;
      if (handed_over[i] >= what.count || i % ahead != turn) continue;
      if (running.Through(i)) {
        plan.slices.push_back(running.NextToken(
            i, what.pipelined ? kSampledToken : out[i].tokens.back().token));
      } else {
        plan.slices.push_back(running.NextChunk(i));
        plan.slices.back().prompt_logprobs = what.prompt_logprobs;
      }
      if (!running.Through(i)) continue;
      SequenceSlice& slice = plan.slices.back();
      slice.sample = true;
      slice.sampling = what.sampling;
      slice.mask = what.mask;
      ++handed_over[i];
    }
    if (!left) break;
    if (plan.slices.empty()) continue;
    if (unfinished.size() >= ahead) FACET_RETURN_IF_ERROR(finish());
    plan.step = NextStep();
    plan.completed = completed;
    unfinished.push_back(plan.step);
    FACET_RETURN_IF_ERROR(executor.Start(plan));
    if (!what.pipelined) FACET_RETURN_IF_ERROR(finish());
  }
  while (!unfinished.empty()) FACET_RETURN_IF_ERROR(finish());
  FACET_RETURN_IF_ERROR(End(executor, running.ids()));
  for (const Continuation& continuation : out) {
    if (static_cast<int>(continuation.tokens.size()) != what.count) {
      return absl::InternalError("a slice that sampled gave not one token");
    }
  }
  return out;
}

absl::StatusOr<std::vector<SampledToken>> Continue(
    Executor& executor, const TokenIds& prompt, int count,
    const SamplingParams& sampling, const ForwardOptions& options) {
  ContinueOptions what;
  what.count = count;
  what.sampling = sampling;
  FACET_ASSIGN_OR_RETURN(std::vector<Continuation> out,
                         Continue(executor, {prompt}, what, options));
  return std::move(out[0].tokens);
}

}  // namespace facet
