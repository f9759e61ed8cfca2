// An executor without a model, for tests of whatever drives one. Each next
// token is a hash of all tokens before it, read back from pages it was told to
// write them to; so a page in the wrong place changes the answer, as it would
// with a model, and is reported besides.
#ifndef FACET_RUNTIME_EXECUTOR_FAKE_EXECUTOR_H_
#define FACET_RUNTIME_EXECUTOR_FAKE_EXECUTOR_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/types/span.h"
#include "runtime/executor/executor.h"

namespace facet {

struct FakeExecutorOptions {
  KvPoolSizes pools;
  int64_t vocab_size = 1000;
  int sliding_window = 64;
  int max_step_tokens = 512;
  int stages = 1;
  // Blocks of logits come in this many runs of the vocabulary, as from ranks.
  int logits_blocks = 1;
  // Reads all that a sequence has written at each of its slices, as attention
  // does: a step then takes time in proportion to its sequences' lengths.
  // False: when it begins, and later what its window sees.
  bool read_everything = true;
  // Runs at the beginning of Start(), which fails with what it returns.
  std::function<absl::Status(const StepPlan&)> before_step;
  // What Resume() returns; OK also resets. Null: never resumes.
  std::function<absl::Status()> resume;
};

// A step runs in Finish(), so the results of those handed over before are not
// known to anybody until then.
class FakeExecutor : public Executor {
 public:
  explicit FakeExecutor(FakeExecutorOptions options);

  // The token that follows `tokens`: the one with the largest sum of Logit()
  // and bias among those that `mask` allows.
  static int32_t NextToken(absl::Span<const int32_t> tokens, int64_t vocab_size,
                           const TokenMask* mask = nullptr,
                           absl::Span<const TokenBias> bias = {});

  // The logit of token `id` behind `tokens`: largest at NextToken(), where it
  // is 2; below 1 elsewhere.
  static float Logit(absl::Span<const int32_t> tokens, int64_t id,
                     int64_t vocab_size);

  // What is reported as the log-probability of token `id` behind `tokens`.
  static float Logprob(absl::Span<const int32_t> tokens, int32_t id);

  // Errors: those of FakeExecutorOptions::before_step.
  absl::Status Start(const StepPlan& plan) override;

  // Errors: INVALID_ARGUMENT for a plan that a worker would refuse or answer
  // wrongly: fresh pages that a sequence still has, shared ones that hold
  // something else than their sequence begins with, tables that do not reach
  // the slice's end, gaps, too many tokens, steps out of order.
  absl::StatusOr<StepResult> Finish() override;

  absl::Status Resume() override;

  KvPoolSizes pools() const override { return options_.pools; }
  int stages() const override { return options_.stages; }

  // As new workers would: all sequences, pages and unfinished steps are gone.
  void Reset();

  // Sequences it holds pages of, and those pages, shared ones counted once.
  int sequences() const { return static_cast<int>(tables_.size()); }
  int64_t pages_held() const;

 private:
  // What is stored of one position.
  struct Entry {
    int32_t token = -1;
    uint64_t hash = 0;  // of all tokens up to this one
  };
  struct Pool {
    std::vector<int32_t> holders;
    std::vector<Entry> entries;  // [pages, page_tokens]
  };
  struct Table {
    SequenceStart start;
    int64_t computed = 0;
    uint64_t hash = 0;  // of all computed tokens
    int64_t sliding_first_page = 0;
    std::vector<PageId> sliding;  // by page index; those in front are gone
    std::vector<PageId> global;
    // The token at position `computed`, once it was drawn or announced.
    std::optional<int32_t> next;
    bool next_was_drawn = false;
  };

  absl::StatusOr<StepResult> Run(const StepPlan& plan);
  absl::Status Forget(SequenceId sequence);
  absl::Status Begin(const SequenceSlice& slice);
  absl::Status ReleaseBehindWindow(const SequenceSlice& slice);
  absl::Status Append(const SequenceSlice& slice);
  absl::Status TakeFresh(const SequenceSlice& slice, size_t begin,
                         const std::vector<PageId>& pages, Pool* pool);
  absl::Status Write(const SequenceSlice& slice);
  absl::Status Read(const SequenceSlice& slice, int64_t from);
  absl::StatusOr<int32_t> Draw(const SequenceSlice& slice,
                               const Table& table) const;
  absl::Status Answer(const SequenceSlice& slice, StepResult* result);
  absl::Status AnswerPrompt(const SequenceSlice& slice, StepResult* result);
  void AnswerLogits(const SequenceSlice& slice, StepResult* result);
  std::vector<int32_t> Tokens(const Table& table);
  Entry& At(Pool* pool, const std::vector<PageId>& table, int64_t position);

  const FakeExecutorOptions options_;
  std::deque<StepPlan> unfinished_;
  uint64_t last_step_ = 0;  // handed over; 0: none yet
  uint64_t finished_step_ = 0;
  Pool sliding_;
  Pool global_;
  absl::flat_hash_map<SequenceId, Table> tables_;
};

}  // namespace facet

#endif  // FACET_RUNTIME_EXECUTOR_FAKE_EXECUTOR_H_
